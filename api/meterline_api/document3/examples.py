"""What OpenAPI shows of the document's path: its own examples, and an error in its form."""

from __future__ import annotations

from typing import Any, Final

from meterline_api.documents.shared import error_answer
from meterline_api.problems import Code

_EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "metric.define": {
        "key": "api_calls",
        "name": "API Calls",
        "unit": "calls",
        "aggregationType": "COUNT",
        "resetPeriod": "MONTHLY",
    },
    "usage.record": {"metricKey": "api_calls", "subjectType": "org", "subjectId": "org-123", "quantity": 1},
    "usage.getSummary": {
        "metricKey": "api_calls",
        "subjectType": "org",
        "subjectId": "org-123",
        "periodType": "MONTHLY",
        "periodStart": "2026-11-01T00:00:00.000Z",
    },
    "threshold.create": {
        "metricKey": "api_calls",
        "subjectType": "user",
        "subjectId": "u-7",
        "orgId": "org-123",
        "threshold": 1000,
        "action": "ALERT",
        "notifyEmails": ["ops@example.com"],
    },
}

CALL: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"type": "object"},
                "examples": {name: {"value": value} for name, value in _EXAMPLES.items()},
            }
        },
    },
}


_FILES: Final = {form: {"schema": {"type": "string"}} for form in ("application/x-ndjson", "text/csv")}

ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "What was asked for; usage.export is a file.", "content": _FILES},
    405: error_answer(
        "It changes something: send it with POST.", Code.METHOD_NOT_ALLOWED, "usage.record changes something"
    ),
    413: error_answer("The body is too large.", Code.BODY_TOO_LARGE, "a request may have 8388608 bytes"),
    400: error_answer("The body cannot be read, or no event can count.", Code.INVALID_JSON, "the body is no JSON"),
    401: error_answer(
        "No API key, or a wrong one.", Code.UNAUTHORIZED, "send the API key as Authorization: Bearer <key>"
    ),
    403: error_answer(
        "No more may be used: a threshold with action block is reached.", Code.QUOTA_EXCEEDED, "used 10 of 10"
    ),
    404: error_answer("There is none.", Code.NOT_FOUND, "there is no metric 'api_calls'"),
    409: error_answer(
        "It contradicts what is there. Nothing was changed.",
        Code.CONFLICT,
        "key: metric 'api_calls' is defined already; update it instead",
        errors=[{"field": "key", "detail": "metric 'api_calls' is defined already; update it instead"}],
    ),
    422: error_answer(
        "Fields are wrong: each is named. Nothing was changed.",
        Code.INVALID_REQUEST,
        "subjectType: is missing",
        errors=[{"field": "subjectType", "detail": "is missing"}],
    ),
    503: error_answer("Kafka or ClickHouse does not answer.", Code.KAFKA_UNAVAILABLE, "Kafka does not answer"),
}
