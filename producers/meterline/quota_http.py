"""One question to ``GET /v1/quotas/check``, over a connection of its own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlencode, urlsplit

import msgspec

from meterline.quota import QuotaStatus
from meterline_schemas.errors import ConfigurationError, UnavailableError

if TYPE_CHECKING:
    import ssl

_MAX_BYTES: Final = 1024 * 1024
_PART: Final = 64 * 1024
_decode: Final = msgspec.json.Decoder(QuotaStatus).decode


class Address(NamedTuple):
    """Where the API is. ``shown`` has no secrets."""

    tls: bool
    host: str
    port: int
    path: str
    key: str
    ssl_context: ssl.SSLContext | None
    shown: str

    def __repr__(self) -> str:
        return f"Address({self.shown})"


def address_of(url: str | None, key: str | None, ssl_context: ssl.SSLContext | None) -> Address:
    """
    Raises:
        ConfigurationError: no URL with http or https, or no key that a header can carry.
    """
    if not url:
        raise ConfigurationError("no API: pass QuotaCheck(url='https://…') or set METERLINE_API_URL")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or parts.scheme not in ("http", "https") or parts.username or parts.query or parts.fragment:
        raise ConfigurationError("the API's URL must look like https://meterline.example:8443")
    if not key or not key.isascii() or not key.isprintable():
        raise ConfigurationError("no API key in printable ASCII: pass QuotaCheck(api_key=…) or set METERLINE_API_KEY")
    tls = parts.scheme == "https"
    path = parts.path.rstrip("/")
    return Address(tls, host, port or (443 if tls else 80), path, key, ssl_context, f"{parts.scheme}://{parts.netloc}")


def ask(address: Address, key: tuple[str, str, str], timeout: float) -> QuotaStatus | str:
    """The API's answer for a tenant, metric and subject, or why it has none for these (404, 422).

    Raises:
        UnavailableError: it answered with something else, or not in time.
        Exception: whatever connecting, TLS and HTTP raise.
    """
    import http.client  # takes as long to import as all the rest of the SDK

    deadline = time.monotonic() + timeout
    more: dict[str, Any] = {"context": address.ssl_context} if address.tls else {}
    kind = http.client.HTTPSConnection if address.tls else http.client.HTTPConnection
    connection = kind(address.host, address.port, timeout=timeout, **more)
    tenant_id, metric, subject = key
    query = urlencode({"tenant_id": tenant_id, "metric": metric, **({"subject": subject} if subject else {})})
    try:
        connection.request(
            "GET",
            f"{address.path}/v1/quotas/check?{query}",
            headers={"Authorization": f"Bearer {address.key}", "Accept": "application/json", "Connection": "close"},
        )
        answer = connection.getresponse()
        body = b""
        while part := answer.read1(_PART):
            body += part
            if len(body) > _MAX_BYTES or time.monotonic() > deadline:
                raise UnavailableError("without an end")
    finally:
        connection.close()
    if answer.status == 200:
        return _decode(body)
    text = f"HTTP {answer.status}{_detail(body)}"
    if answer.status in (404, 422) and _detail(body):
        return text
    raise UnavailableError(text)


def _detail(body: bytes) -> str:
    """What a problem document says."""
    try:
        problem = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    detail = problem.get("detail")
    return f": {detail}" if isinstance(detail, str) else ""
