"""The answers about notifications, and the body of a request to resend, as the OpenAPI document shows them."""

from __future__ import annotations

from typing import Any, Final

from meterline_api.examples import UNAUTHORIZED, problem
from meterline_api.notifications.models import ResendRequest

Answers = dict[int | str, dict[str, Any]]

_ID: Final = "ntf_2c6f8a34b1ce2f60f0b5a4d98d1f37ab"
_SHOWN: Final = {
    "id": _ID,
    "type": "threshold.exceeded",
    "timestamp": "2026-11-21T12:00:00Z",
    "tenant_id": "acme",
    "metric": "orders",
    "subject": "",
    "threshold_id": "orders-per-month",
    "usage": "10000.5",
    "limit": "10000",
    "percent": "100",
    "step": "100",
    "period_start": "2026-11-01T00:00:00Z",
    "period_end": "2026-12-01T00:00:00Z",
}
_DETAIL: Final = {
    **_SHOWN,
    "data": {"threshold_id": "orders-per-month", "tenant_id": "acme", "metric": "orders", "usage": "10000.5"},
    "deliveries": [
        {
            "target": "webhook/crm",
            "kind": "webhook",
            "id": "crm",
            "status": "waiting",
            "next_at": "2026-11-21T12:00:05.310Z",
            "attempts": [
                {
                    "number": 1,
                    "at": "2026-11-21T12:00:00.100Z",
                    "seconds": 0.012,
                    "status_code": 503,
                    "error": "answered 503",
                    "answer": "try later",
                }
            ],
        }
    ],
}
_CLICKHOUSE: Final = problem(
    "ClickHouse does not answer.",
    503,
    "Service Unavailable",
    "clickhouse_unavailable",
    "ClickHouse at http://127.0.0.1:8123 does not answer: Connection refused",
)
_NOT_FOUND: Final = problem(
    "There is none.",
    404,
    "Not Found",
    "not_found",
    f"there is no notification '{_ID}'; one that was just sent is found a moment later",
)
_NO_TARGET: Final = "'webhook/crn' was not told of it and is no webhook; these were: webhook/crm"


def _ok(description: str, example: Any) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"example": example}}}


LIST: Final[Answers] = {
    200: _ok("Notifications, the newest first.", {"data": [_SHOWN], "next_cursor": "MTc5NTI2MjQwMDAwMCBudGZfMmM2"}),
    401: UNAUTHORIZED,
    422: problem(
        "A parameter is wrong.",
        422,
        "Unprocessable Entity",
        "invalid_cursor",
        "cursor is none that this server gave; start again without one",
    ),
    503: _CLICKHOUSE,
}
ONE: Final[Answers] = {
    200: _ok("The notification, its deliveries and their attempts.", _DETAIL),
    401: UNAUTHORIZED,
    404: _NOT_FOUND,
    503: _CLICKHOUSE,
}
RESEND: Final[Answers] = {
    202: _ok(
        "The request is written down.",
        {"id": "7b1f0c5e6a0d4c0f9a3de0a1f5b2c7d8", "notification_id": _ID, "target": "webhook/crm"},
    ),
    400: problem("The body is no JSON object.", 400, "Bad Request", "invalid_json", "the body is no JSON"),
    401: UNAUTHORIZED,
    404: _NOT_FOUND,
    409: problem(
        "There is nothing to send again.",
        409,
        "Conflict",
        "conflict",
        "nobody was to be told of it, or the notifier has not read it yet: there is nothing to send again",
    ),
    413: problem(
        "The body is too large.",
        413,
        "Request Entity Too Large",
        "body_too_large",
        "a request may have 4096 bytes, also when unpacked; send it in parts",
    ),
    422: problem(
        "The target is wrong.",
        422,
        "Unprocessable Entity",
        "invalid_request",
        f"target: {_NO_TARGET}",
        errors=[{"field": "target", "detail": _NO_TARGET}],
    ),
    503: problem(
        "Kafka or ClickHouse does not answer.",
        503,
        "Service Unavailable",
        "kafka_unavailable",
        "Kafka did not take records of meterline.deliveries: Local: Message timed out",
    ),
}
RESEND_REQUEST: Final[dict[str, Any]] = {
    "requestBody": {
        "required": False,
        "content": {
            "application/json": {"schema": ResendRequest.model_json_schema(), "example": {"target": "webhook/crm"}}
        },
    }
}
