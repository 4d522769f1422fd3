"""Stripe's signature on what it sends, by its own library: over the body and when it was sent, with a shared secret."""

from __future__ import annotations

from collections.abc import Sequence

from stripe import SignatureVerificationError, WebhookSignature

from meterline_schemas.errors import MeterlineError

HEADER = "Stripe-Signature"
_MOST = 4096  # characters of the header


class SignatureError(MeterlineError):
    def __init__(self, why: str) -> None:
        super().__init__(f"this is not taken for an event of Stripe's: {why}")


def verify(body: bytes, header: str, secrets: Sequence[str], tolerance: int) -> None:
    """Whether one of ``secrets`` signed it, at most ``tolerance`` seconds ago.

    Raises:
        SignatureError: no; or there are no secrets.
    """
    if not secrets:
        raise SignatureError("set METERLINE_STRIPE_WEBHOOK_SECRETS to the signing secret that Stripe shows (whsec_…)")
    if not header or len(header) > _MOST or not header.isascii():
        raise SignatureError(f"it has no {HEADER} header of the form t=…,v1=…")
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise SignatureError("its body is not UTF-8") from None
    late = False
    for secret in secrets:
        try:
            WebhookSignature.verify_header(text, header, secret, tolerance)
            return
        except SignatureVerificationError as error:
            late = late or "tolerance" in str(error)
    if late:
        raise SignatureError(f"it was signed more than {tolerance} s ago; set this machine's clock by NTP")
    raise SignatureError("no secret of METERLINE_STRIPE_WEBHOOK_SECRETS made its signature; Stripe shows the right one")


def signed(body: str, secret: str) -> str:
    """The header that Stripe would send now."""
    return str(WebhookSignature.generate_signature_header(body, secret))
