"""What OpenAPI shows beyond the types: bodies, answers and problems as examples."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel

from meterline_api.models import CloudEvent, EventSubmission, ProblemModel
from meterline_api.problems import MEDIA_TYPE
from meterline_api.submissions import Form

_EVENT: Final = {
    "id": "01a1fcbb-d379-7940-b5c6-46e1f4a763c9",
    "tenant_id": "acme",
    "metric": "api_calls",
    "quantity": "1.5",
    "timestamp": "2026-11-21T06:12:10.233Z",
    "properties": {"region": "eu"},
}
_CLOUDEVENT: Final = {
    "specversion": "1.0",
    "id": "A234-1234-1234",
    "source": "/checkout",
    "type": "api_calls",
    "subject": "acme",
    "time": "2026-11-21T06:12:10.233Z",
    "data": {"quantity": "1.5", "region": "eu"},
}
_event_schema: Final = EventSubmission.model_json_schema()
_cloudevent_schema: Final = CloudEvent.model_json_schema()

EVENT_REQUEST: Final[dict[str, Any]] = {
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "schema": {"type": "string", "minLength": 1, "maxLength": 255},
            "description": "Gives events without an id one that is derived from this key and their place.",
            "example": "8e03978e-40d5-43e8-bc93-6894a57f9324",
        },
        {
            "name": "Content-Encoding",
            "in": "header",
            "required": False,
            "schema": {"type": "string", "enum": ["gzip", "zstd", "identity"]},
        },
    ],
    "requestBody": {
        "required": True,
        "content": {
            Form.JSON: {
                "schema": {"oneOf": [_event_schema, {"type": "array", "items": _event_schema}]},
                "examples": {"one": {"value": _EVENT}, "many": {"value": [_EVENT]}},
            },
            Form.NDJSON: {
                "schema": {"type": "string", "description": "An event on each line."},
                "example": '{"id":"o-1","tenant_id":"acme","metric":"orders","quantity":1}\n'
                '{"id":"o-2","tenant_id":"acme","metric":"orders","quantity":1}\n',
            },
            Form.CLOUDEVENT: {"schema": _cloudevent_schema, "example": _CLOUDEVENT},
            Form.CLOUDEVENTS: {
                "schema": {"type": "array", "items": _cloudevent_schema},
                "example": [_CLOUDEVENT],
            },
        },
    },
}


def inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema that stands in the document by itself: what it refers to is put in its place."""
    definitions = schema.pop("$defs", {})

    def resolve(node: Any) -> Any:
        if isinstance(node, dict):
            if "$ref" in node:
                return resolve(definitions[node["$ref"].rpartition("/")[2]])
            return {name: resolve(child) for name, child in node.items()}
        return [resolve(child) for child in node] if isinstance(node, list) else node

    found: dict[str, Any] = resolve(schema)
    return found


def json_body(kind: type[BaseModel], example: dict[str, Any]) -> dict[str, Any]:
    """The body of a route that reads it itself."""
    content = {"application/json": {"schema": inlined(kind.model_json_schema()), "example": example}}
    return {"requestBody": {"required": True, "content": content}}


def problem(description: str, status: int, title: str, code: str, detail: str, **more: Any) -> dict[str, Any]:
    example = {
        "type": f"urn:meterline:problem:{code}",
        "title": title,
        "status": status,
        "code": code,
        "detail": detail,
        **more,
    }
    schema = {"$ref": "#/components/schemas/ProblemModel"}
    return {"description": description, "content": {MEDIA_TYPE: {"schema": schema, "example": example}}}


UNAUTHORIZED = problem(
    "No API key, or a wrong one.",
    401,
    "Unauthorized",
    "unauthorized",
    "send the API key as Authorization: Bearer <key>; it is METERLINE_API_KEY of the server",
)
EVENT_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    202: {
        "description": "Kafka holds every event that can count.",
        "content": {
            "application/json": {
                "example": {
                    "accepted": 1,
                    "invalid": 1,
                    "events": [
                        {"index": 0, "status": "accepted", "id": "o-1"},
                        {
                            "index": 1,
                            "status": "invalid",
                            "id": "o-2",
                            "reason": "quantity_out_of_range",
                            "detail": "quantity must be below 10^18",
                        },
                    ],
                }
            }
        },
    },
    400: problem(
        "No event can count, or the body cannot be read.",
        400,
        "Bad Request",
        "invalid_events",
        "Object missing required field `tenant_id`",
        events=[
            {
                "index": 0,
                "status": "invalid",
                "reason": "invalid_event",
                "detail": "Object missing required field `tenant_id`",
            }
        ],
    ),
    401: UNAUTHORIZED,
    403: problem(
        "No event was taken, and some only because a threshold with action block is reached.",
        403,
        "Forbidden",
        "quota_exceeded",
        "tenant 'acme' used 50 of 50 order (threshold 'orders-stop'); counting begins anew at 2026-12-01T00:00:00Z, "
        "or raise the limit",
        events=[{"index": 0, "status": "refused", "id": "o-1", "reason": "quota_exceeded", "detail": "…"}],
    ),
    413: problem(
        "More bytes or events than one request may have.",
        413,
        "Request Entity Too Large",
        "too_many_events",
        "20000 events in one request, at most 10000 are taken: send them in parts",
    ),
    415: problem(
        "A media type, charset or encoding that is not read.",
        415,
        "Unsupported Media Type",
        "unsupported_media_type",
        f"Content-Type 'text/plain' is not read; send one of {', '.join(Form)}",
    ),
    503: problem(
        "Kafka did not answer for the events with status unknown: send the same request again.",
        503,
        "Service Unavailable",
        "kafka_unavailable",
        "Kafka did not acknowledge 1 of 1 events in time; send the same request again, with the same ids",
        events=[{"index": 0, "status": "unknown", "id": "o-1"}],
    ),
}
USAGE_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "Usage, late events included.",
        "content": {
            "application/json": {
                "example": {
                    "from": "2026-11-01T00:00:00Z",
                    "to": "2026-11-03T00:00:00Z",
                    "window": "day",
                    "data": [
                        {
                            "from": "2026-11-01T00:00:00Z",
                            "to": "2026-11-02T00:00:00Z",
                            "metric": "storage_gb",
                            "aggregation": "max",
                            "unit": "GB",
                            "value": "12.5",
                            "count": 24,
                            "tenant_id": "acme",
                        }
                    ],
                }
            }
        },
    },
    401: UNAUTHORIZED,
    404: problem("The metric is not defined.", 404, "Not Found", "unknown_metric", "metric 'orderz' is not defined"),
    422: problem(
        "A parameter is wrong.",
        422,
        "Unprocessable Entity",
        "invalid_range",
        "from must be a whole hour in UTC, such as 2026-11-21T06:00:00Z: usage is kept by the hour",
    ),
    503: problem(
        "ClickHouse does not answer.",
        503,
        "Service Unavailable",
        "clickhouse_unavailable",
        "ClickHouse at http://127.0.0.1:8123 does not answer: Connection refused",
    ),
}
PROBLEM_MODEL: Final = ProblemModel
