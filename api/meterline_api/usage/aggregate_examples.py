"""The answers of ``POST /v1/usage/aggregate``, as the OpenAPI document shows them."""

from __future__ import annotations

from typing import Any, Final

from meterline_api.examples import UNAUTHORIZED, problem
from meterline_api.usage.examples import BODY_ANSWERS

_WITHIN: Final = (
    "is within a period: a day begins at 00:00 UTC, so write 2026-11-01T00:00:00Z for the one that it lies in"
)
_FOLD: Final = {"count": 2, "sum": "5.5", "min": "2.5", "max": "3", "last": "3"}

AGGREGATE_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The period was computed again, and compared.",
        "content": {
            "application/json": {
                "example": {
                    "period_type": "daily",
                    "period_start": "2026-11-01T00:00:00Z",
                    "period_end": "2026-11-02T00:00:00Z",
                    "compared": 1204,
                    "different": 1,
                    "differences": [
                        {
                            "tenant_id": "acme",
                            "metric": "orders",
                            "totals": {**_FOLD, "count": 3, "sum": "8.5"},
                            "events": _FOLD,
                        }
                    ],
                    "notification_id": "ntf_2c6f8a34b1ce2f60f0b5a4d98d1f37ab",
                }
            }
        },
    },
    **{status: BODY_ANSWERS[status] for status in (400, 413, 415)},
    401: UNAUTHORIZED,
    404: problem("The metric is not defined.", 404, "Not Found", "unknown_metric", "metric 'orderz' is not defined"),
    422: problem(
        "A field is wrong, or `period_start` is no start of a period.",
        422,
        "Unprocessable Entity",
        "invalid_request",
        f"period_start: {_WITHIN}",
        errors=[{"field": "period_start", "detail": _WITHIN}],
    ),
    503: problem(
        "ClickHouse does not answer, or Kafka does not take the notification.",
        503,
        "Service Unavailable",
        "clickhouse_unavailable",
        "ClickHouse at http://127.0.0.1:8123 does not answer: Connection refused",
    ),
}
