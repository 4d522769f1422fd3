"""The answers about rejected lines, and the body of a replay, as the OpenAPI document shows them."""

from __future__ import annotations

from typing import Any, Final

from meterline_api.examples import UNAUTHORIZED, inlined, problem
from meterline_api.rejected.models import ReplayRequest

Answers = dict[int | str, dict[str, Any]]

_RAW: Final = '{"id":"o-1","tenant_id":"acme","metric":"orderz","quantity":1,"timestamp":"2026-11-21T06:12:10Z"}'
REJECTED: Final = {
    "topic": "usage.events",
    "partition": 3,
    "offset": 1042,
    "line": 0,
    "received_at": "2026-11-21T06:12:10.301Z",
    "reason": "unknown_metric",
    "detail": "metric 'orderz' is not defined; define it and replay, or correct the producer",
    "tenant_id": "acme",
    "metric": "orderz",
    "id": "o-1",
    "lines": 1,
    "raw": _RAW,
    "raw_encoding": "utf-8",
    "raw_bytes": len(_RAW),
    "raw_sha256": "5bd5ba3e9c8c0a9a6d7ce3a0b5d3a4b1f0f0c1a1d3c1b2a39e0b5a6d7ce3a0b5",
}
FORBIDDEN: Final = problem(
    "The caller may not do this, or does not reach the tenant.",
    403,
    "Forbidden",
    "permission_denied",
    "this key or token does not reach tenant 'globex'; ask an administrator",
)
CLICKHOUSE: Final = problem(
    "ClickHouse does not answer.",
    503,
    "Service Unavailable",
    "clickhouse_unavailable",
    "ClickHouse at http://127.0.0.1:8123 does not answer: Connection refused",
)
_CURSOR: Final = problem(
    "A parameter is wrong.",
    422,
    "Unprocessable Entity",
    "invalid_cursor",
    "cursor is none that this server gave; start again without one",
)


def ok(description: str, example: Any) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"example": example}}}


LIST: Final[Answers] = {
    200: ok("Rejected lines, the newest first.", {"data": [REJECTED], "next_cursor": "MTc5NTI0MTUzMDMwMSAzIDEwNDIgMA"}),
    401: UNAUTHORIZED,
    403: FORBIDDEN,
    422: _CURSOR,
    503: CLICKHOUSE,
}
COUNTS: Final[Answers] = {
    200: ok(
        "How many lines were rejected.",
        {
            "from": "2026-11-20T00:00:00Z",
            "to": "2026-11-22T00:00:00Z",
            "window": "day",
            "data": [
                {
                    "from": "2026-11-21T00:00:00Z",
                    "to": "2026-11-22T00:00:00Z",
                    "lines": 12,
                    "reason": "unknown_metric",
                }
            ],
        },
    ),
    401: UNAUTHORIZED,
    403: FORBIDDEN,
    422: _CURSOR,
    503: CLICKHOUSE,
}
REPLAY: Final[Answers] = {
    200: ok(
        "Kafka holds every line that was to be sent.",
        {
            "dry_run": False,
            "matched": 12,
            "chosen": 10,
            "replayed": 10,
            "skipped": [
                {"reason": "still_unknown", "detail": "the metric is still not defined for the tenant", "count": 2}
            ],
            "undefined_metrics": ["orderz"],
            "undefined_tenants": [],
            "not_found": 0,
        },
    ),
    400: problem(
        "The body is packed in a way that it does not say.",
        400,
        "Bad Request",
        "invalid_encoding",
        "the body is no gzip: Error -3 while decompressing data: incorrect header check",
    ),
    401: UNAUTHORIZED,
    403: FORBIDDEN,
    413: problem(
        "The body is too large.",
        413,
        "Request Entity Too Large",
        "body_too_large",
        "a request may have 262144 bytes, also when unpacked; send it in parts",
    ),
    415: problem(
        "An encoding that is not read.",
        415,
        "Unsupported Media Type",
        "unsupported_encoding",
        "Content-Encoding 'br' is not read; send gzip, zstd or none",
    ),
    422: problem(
        "The body is wrong.",
        422,
        "Unprocessable Entity",
        "invalid_request",
        "reasons: duplicate cannot be replayed: the event is counted already: the first copy of it was",
        errors=[
            {
                "field": "reasons",
                "detail": "duplicate cannot be replayed: the event is counted already: the first copy of it was",
            }
        ],
    ),
    503: problem(
        "Kafka or ClickHouse does not answer. What was sent before counts once: replay again.",
        503,
        "Service Unavailable",
        "kafka_unavailable",
        "Kafka did not acknowledge 3 of 10 lines in time; replay again: what Kafka has counts once",
        replayed=7,
    ),
}
REPLAY_REQUEST: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": inlined(ReplayRequest.model_json_schema()),
                "examples": {
                    "metric": {"summary": "After a metric was defined", "value": {"metric": "orders"}},
                    "dry_run": {
                        "summary": "What would be sent",
                        "value": {"reasons": ["too_old"], "from": "2026-11-01T00:00:00Z", "dry_run": True},
                    },
                    "places": {
                        "summary": "These lines",
                        "value": {"places": [{"partition": 3, "offset": 1042, "line": 0}]},
                    },
                },
            }
        },
    }
}
