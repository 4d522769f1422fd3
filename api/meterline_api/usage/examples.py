"""What OpenAPI shows of usage beyond the types."""

from __future__ import annotations

from typing import Any, Final

from meterline_api.examples import USAGE_ANSWERS, problem
from meterline_api.usage.parameters import UsageInBody

ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    **USAGE_ANSWERS,
    503: problem(
        "ClickHouse does not answer, or what `min_offset` asks for is not in yet (`not_ready`).",
        503,
        "Service Unavailable",
        "clickhouse_unavailable",
        "ClickHouse at http://127.0.0.1:8123 does not answer: Connection refused",
    ),
}
BODY_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    **ANSWERS,
    400: problem("The body cannot be read.", 400, "Bad Request", "invalid_json", "the body must be a JSON object"),
    413: problem(
        "The body is too large.",
        413,
        "Request Entity Too Large",
        "body_too_large",
        "the body is larger than 262144 bytes; send it in parts",
    ),
    415: problem(
        "An encoding that is not read.",
        415,
        "Unsupported Media Type",
        "unsupported_encoding",
        "Content-Encoding 'br' is not read; send gzip, zstd or none",
    ),
}
_BODY: Final = {
    "from": "2026-11-01T00:00:00Z",
    "to": "2026-12-01T00:00:00Z",
    "window": "day",
    "timezone": "Europe/Vienna",
    "group_by": ["properties.region"],
    "filter": {"subject": {"prefix": "user:"}, "or": [{"quantity": {"gt": "2.5"}}, {"properties.plan": {"eq": "pro"}}]},
}
BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": UsageInBody.model_json_schema(),
                "examples": {
                    "filtered": {"value": _BODY},
                    "top": {"value": {"metric": "orders", "group_by": ["tenant_id"], "top": 10}},
                },
            }
        },
    },
}
