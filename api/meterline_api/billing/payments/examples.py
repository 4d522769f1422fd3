"""What OpenAPI shows of Stripe's webhook."""

from __future__ import annotations

from typing import Any, Final

from meterline_api.examples import problem
from meterline_api.problems import Code

STRIPE_EVENT: Final = {
    "id": "evt_1SVxR02eZvKYlo2C",
    "object": "event",
    "type": "invoice.paid",
    "created": 1764547204,
    "data": {"object": {"id": "in_1SVxQz2eZvKYlo2C", "object": "invoice", "status": "paid"}},
}
WEBHOOK_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    400: problem(
        "No secret signed it, or too long ago, or it is no event. Nothing was changed.",
        400,
        "Bad Request",
        Code.INVALID_SIGNATURE,
        "this is not taken for an event of Stripe's: it has no Stripe-Signature header of the form t=…,v1=…",
    ),
    413: problem("The body is too large.", 413, "Request Entity Too Large", Code.BODY_TOO_LARGE, "send less"),
    415: problem(
        "The body is packed in a way that is not read.",
        415,
        "Unsupported Media Type",
        Code.UNSUPPORTED_ENCODING,
        "Content-Encoding 'br' is not read; send gzip, zstd or none",
    ),
    503: problem(
        "Kafka or Stripe does not answer: Stripe sends it again by itself.",
        503,
        "Service Unavailable",
        Code.NOT_READY,
        "the catalog has not been read yet; send it again in a moment",
    ),
}
