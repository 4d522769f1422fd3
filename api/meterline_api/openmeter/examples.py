"""What OpenAPI shows of OpenMeter's paths."""

from __future__ import annotations

from typing import Any, Final

from meterline_api.examples import EVENT_ANSWERS, EVENT_REQUEST, problem
from meterline_api.openmeter.query import MeterQuery
from meterline_api.submissions import Form

Responses = dict[int | str, dict[str, Any]]

EVENT: Final = {
    "specversion": "1.0",
    "id": "5c10fade-1c9e-4d6c-8275-c52c36731d3c",
    "source": "my-app",
    "type": "prompt",
    "subject": "customer-1",
    "time": "2026-11-21T06:12:10.233Z",
    "data": {"tokens": "1234", "model": "gpt-4o"},
}
METER: Final = {
    "id": "tokens_total",
    "slug": "tokens_total",
    "name": "tokens_total",
    "description": "AI Token Usage",
    "aggregation": "SUM",
    "eventType": "prompt",
    "valueProperty": "$.tokens",
    "groupBy": {"model": "$.model"},
    "createdAt": "2026-11-01T00:00:00Z",
    "updatedAt": "2026-11-01T00:00:00Z",
}
RESULT: Final = {
    "from": "2026-11-21T00:00:00Z",
    "to": "2026-11-22T00:00:00Z",
    "windowSize": "DAY",
    "data": [
        {
            "value": 1234,
            "windowStart": "2026-11-21T00:00:00Z",
            "windowEnd": "2026-11-22T00:00:00Z",
            "subject": "customer-1",
            "groupBy": {"model": "gpt-4o"},
        }
    ],
}
TABLE: Final = (
    "window_start,window_end,subject,model,value\n2026-11-21T00:00:00Z,2026-11-22T00:00:00Z,customer-1,gpt-4o,1234\n"
)

_cloudevent: Final = EVENT_REQUEST["requestBody"]["content"][Form.CLOUDEVENT]["schema"]
_attribute: Final = {"in": "header", "required": False, "schema": {"type": "string"}}

INGEST_REQUEST: Final[dict[str, Any]] = {
    "parameters": [
        {
            "name": "Content-Encoding",
            "in": "header",
            "schema": {"type": "string", "enum": ["gzip", "zstd", "identity"]},
        },
        *(
            {**_attribute, "name": f"ce-{name}", "description": "Of an event in binary mode, whose body is its data."}
            for name in ("specversion", "id", "source", "type", "subject", "time")
        ),
    ],
    "requestBody": {
        "required": True,
        "content": {
            Form.CLOUDEVENT: {"schema": _cloudevent, "example": EVENT},
            Form.CLOUDEVENTS: {"schema": {"type": "array", "items": _cloudevent}, "example": [EVENT]},
            Form.JSON: {
                "schema": {"oneOf": [_cloudevent, {"type": "array", "items": _cloudevent}]},
                "example": EVENT,
            },
        },
    },
}
INGEST_ANSWERS: Final[Responses] = {
    204: {"description": "Kafka holds every event."},
    400: problem(
        "An event can never count, or the body cannot be read. The other events are taken: `events` says of each.",
        400,
        "Bad Request",
        "invalid_events",
        "event 0: no meter of events of type 'prompt' counts it: data has none of $.tokens for tokens_total",
        instance="/api/v1/events",
    ),
    **{status: EVENT_ANSWERS[status] for status in (401, 403, 413, 415, 503)},
}

_missing: Final = problem(
    "No such meter.", 404, "Not Found", "unknown_metric", "there is no meter 'tokens'", instance="/api/v1/meters/tokens"
)
_wrong: Final = problem(
    "A parameter is wrong.",
    400,
    "Bad Request",
    "invalid_request",
    "groupBy: 'region' is none of this meter's; choose one of subject, model",
    instance="/api/v1/meters/tokens_total/query",
)
_denied: Final = problem(
    "The caller may not, or does not reach a subject.",
    403,
    "Forbidden",
    "permission_denied",
    "this key or token does not reach tenant 'acme'; ask an administrator",
    instance="/api/v1/meters/tokens_total/query",
)
_contradicts: Final = problem(
    "The catalog and the file with meters define it differently.",
    409,
    "Conflict",
    "conflict",
    "meter 'tokens_total' cannot be answered: the catalog says count, the file with meters SUM",
    instance="/api/v1/meters/tokens_total/query",
)
_away: Final = problem(
    "ClickHouse does not answer.",
    503,
    "Service Unavailable",
    "clickhouse_unavailable",
    "ClickHouse at http://127.0.0.1:8123 does not answer: Connection refused",
    instance="/api/v1/meters/tokens_total/query",
)
_unauthorized: Final = EVENT_ANSWERS[401]

METER_ANSWERS: Final[Responses] = {
    200: {"content": {"application/json": {"example": METER}}},
    400: _wrong,
    401: _unauthorized,
    403: _denied,
    404: _missing,
    409: _contradicts,
}
METERS_ANSWERS: Final[Responses] = {
    200: {"content": {"application/json": {"example": [METER]}}},
    400: _wrong,
    401: _unauthorized,
    403: _denied,
}
QUERY_ANSWERS: Final[Responses] = {
    200: {"content": {"application/json": {"example": RESULT}, "text/csv": {"example": TABLE}}},
    400: _wrong,
    401: _unauthorized,
    403: _denied,
    404: _missing,
    409: _contradicts,
    413: EVENT_ANSWERS[413],
    503: _away,
}
NAMES_ANSWERS: Final[Responses] = {
    **QUERY_ANSWERS,
    200: {"content": {"application/json": {"example": ["customer-1", "customer-2"]}}},
}


def _body() -> dict[str, Any]:
    """The schema of a body, whole: references in it would lead into the document."""
    schema = MeterQuery.model_json_schema()
    known = schema.pop("$defs", {})

    def resolved(node: Any) -> Any:
        if isinstance(node, dict):
            if "$ref" in node:
                return resolved(known[node["$ref"].rpartition("/")[2]])
            return {name: resolved(value) for name, value in node.items()}
        return [resolved(each) for each in node] if isinstance(node, list) else node

    found: dict[str, Any] = resolved(schema)
    return found


QUERY_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": _body(),
                "example": {"from": "2026-11-21T00:00:00Z", "to": "2026-11-22T00:00:00Z", "windowSize": "DAY"},
            }
        },
    },
}


def _parameter(name: str, schema: dict[str, Any], description: str = "", **more: Any) -> dict[str, Any]:
    found = {"name": name, "in": "query", "required": False, "schema": schema, **more}
    return found | ({"description": description} if description else {})


def _of_query() -> list[dict[str, Any]]:
    """The members of a body as parameters: lists repeated, an object's members as ``name[member]``."""
    whole = MeterQuery.model_json_schema()
    found = []
    for name, schema in whole["properties"].items():
        if name in ("filterCustomerId", "advancedMeterGroupByFilters", "filterGroupBy"):
            continue
        plain = next(one for one in schema.get("anyOf", [schema]) if one.get("type") != "null")
        if "$ref" in plain:
            plain = {"type": "string", "enum": whole["$defs"][plain["$ref"].rpartition("/")[2]]["enum"]}
        plain = {key: value for key, value in plain.items() if key not in ("title", "default", "description")}
        found.append(_parameter(name, plain, schema.get("description", "")))
    values = {"type": "object", "additionalProperties": {"type": "string"}}
    found.append(_parameter("filterGroupBy", values, "Only where each of these has the value.", style="deepObject"))
    text = 'A JSON object such as {"model": {"$in": ["a", "b"]}}; operators are $eq, $ne, $in and $nin.'
    found.append(_parameter("advancedMeterGroupByFilters", {"type": "string"}, text))
    return found


QUERY_PARAMETERS: Final[dict[str, Any]] = {"parameters": _of_query()}
RANGE_PARAMETERS: Final[dict[str, Any]] = {
    "parameters": [one for one in QUERY_PARAMETERS["parameters"] if one["name"] in ("from", "to")]
}
