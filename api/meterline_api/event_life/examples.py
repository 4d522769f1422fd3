"""The answers about the life of an event, as the OpenAPI document shows them."""

from __future__ import annotations

from typing import Any, Final

from meterline_api.examples import UNAUTHORIZED, problem
from meterline_api.rejected.examples import CLICKHOUSE, FORBIDDEN, ok

_DUPLICATE: Final = "the id was counted before; a copy of an event changes nothing"
_LIFE: Final = {
    "tenant_id": "acme",
    "id": "o-1",
    "verdict": "accepted",
    "reason": None,
    "detail": None,
    "events": [
        {
            "metric": "orders",
            "timestamp": "2026-11-21T06:12:10.233Z",
            "quantity": "1.5",
            "subject": "",
            "source": "checkout",
            "properties": {"region": "eu"},
            "late": False,
            "added": "by_the_stream",
            "totals": [
                {
                    "window": "hour",
                    "from": "2026-11-21T06:00:00Z",
                    "to": "2026-11-21T07:00:00Z",
                    "aggregation": "sum",
                    "unit": "",
                    "value": "12.5",
                    "count": 9,
                }
            ],
            "alerts": [],
            "invoice_line": None,
            "stripe_push": None,
        }
    ],
    "appearances": [
        {
            "topic": "usage.events",
            "partition": 3,
            "offset": 1042,
            "line": 0,
            "received_at": "2026-11-21T06:12:10.301Z",
            "verdict": "accepted",
            "complete": True,
        },
        {
            "topic": "usage.events",
            "partition": 3,
            "offset": 1050,
            "line": 0,
            "received_at": "2026-11-21T06:12:12.007Z",
            "verdict": "rejected",
            "reason": "duplicate",
            "detail": _DUPLICATE,
            "complete": True,
        },
    ],
    "notes": ["invoice_line and stripe_push are null: this version makes no invoices and pushes nothing to Stripe"],
}

LIFE: Final[dict[int | str, dict[str, Any]]] = {
    200: ok("The events with this id, one for each tenant that has one.", {"data": [_LIFE], "more": False}),
    401: UNAUTHORIZED,
    403: FORBIDDEN,
    404: problem(
        "There is none, or it is not judged yet: `pending` says which, and is null where that cannot be told.",
        404,
        "Not Found",
        "not_found",
        "there is no event 'o-2': everything that was acknowledged before this request is judged and written",
        pending=False,
    ),
    422: problem(
        "A parameter is wrong.",
        422,
        "Unprocessable Entity",
        "invalid_request",
        "id: String should have at most 256 characters",
        errors=[{"field": "id", "detail": "String should have at most 256 characters"}],
    ),
    503: CLICKHOUSE,
}
