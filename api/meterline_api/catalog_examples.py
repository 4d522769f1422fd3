"""What OpenAPI shows of the catalog beyond the types: bodies, and problems as examples."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from meterline_api.examples import UNAUTHORIZED, problem
from meterline_api.problems import Code
from meterline_schemas.catalog import ApiKey, Entry, Metric, Plan, Quota, Tenant, TenantPlan, Threshold, Webhook

Responses = dict[int | str, dict[str, Any]]

_MADE_HERE: Final = ("version", "changed_at")


@dataclass(frozen=True)
class Documented:
    """The answers of the routes of one kind, and the bodies that they take.

    ``whole`` is an entry, ``keyed`` one whose key the path has said, ``part`` any fields of one.
    """

    reads: Responses
    read: Responses
    changes: Responses
    deletes: Responses
    whole: dict[str, Any]
    keyed: dict[str, Any]
    part: dict[str, Any]


def _problem(description: str, status: HTTPStatus, code: Code, detail: str, field: str | None = None) -> dict[str, Any]:
    more = {} if field is None else {"errors": [{"field": field, "detail": detail.removeprefix(f"{field}: ")}]}
    return problem(description, int(status), status.phrase, code, detail, **more)


def _documented(
    kind: type[Entry],
    whole: dict[str, Any],
    part: dict[str, Any],
    conflict: dict[str, Any],
    wrong: tuple[str, str],
    *,
    in_use: dict[str, Any] | None = None,
    optional: tuple[str, ...] = (),
    more: Responses | None = None,
) -> Documented:
    """``wrong`` is a field and what is wrong with it; ``optional`` fields are made here where they are not given."""
    not_found = _problem("There is none.", HTTPStatus.NOT_FOUND, Code.NOT_FOUND, f"there is no {kind.kind} 'x'")
    field, detail = wrong
    bodies: Responses = {
        400: _problem("The body is no JSON object.", HTTPStatus.BAD_REQUEST, Code.INVALID_JSON, "the body is no JSON"),
        413: _problem(
            "The body is larger than any entry.",
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            Code.BODY_TOO_LARGE,
            "a request may have 262144 bytes, also when unpacked; send it in parts",
        ),
        415: _problem(
            "An encoding that is not read.",
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            Code.UNSUPPORTED_ENCODING,
            "Content-Encoding 'br' is not read; send gzip, zstd or none",
        ),
        422: _problem(
            "Fields are wrong: `errors` has every one. Nothing was changed.",
            HTTPStatus.UNPROCESSABLE_ENTITY,
            Code.INVALID_REQUEST,
            f"{field}: {detail}",
            field,
        ),
    }
    unavailable = _problem(
        "Kafka does not answer.",
        HTTPStatus.SERVICE_UNAVAILABLE,
        Code.KAFKA_UNAVAILABLE,
        "cannot write meterline.config: Local: Timed out",
    )
    wrong_query = _problem(
        "A parameter is wrong.",
        HTTPStatus.UNPROCESSABLE_ENTITY,
        Code.INVALID_CURSOR,
        "cursor is none that this server gave; start again without one",
    )
    change: Responses = {401: UNAUTHORIZED, 404: not_found, 503: unavailable}
    deletes: Responses = change if in_use is None else {**change, 409: in_use}
    return Documented(
        reads={401: UNAUTHORIZED, 422: wrong_query},
        read={401: UNAUTHORIZED, 404: not_found},
        changes={**change, **bodies, 409: conflict},
        deletes={**deletes, **(more or {})},
        whole=_body(kind, whole, optional),
        keyed=_body(kind, whole, (*optional, "key", "id")),
        part=_body(kind, part, None),
    )


def _body(kind: type[Entry], example: dict[str, Any], optional: tuple[str, ...] | None) -> dict[str, Any]:
    """A request body; with ``optional`` None every field is."""
    schema = _whole(kind.model_json_schema(mode="validation", ref_template="#/components/schemas/{model}"))
    required = [] if optional is None else [name for name in schema["required"] if name not in optional]
    shown = {
        "title": kind.__name__,
        "type": "object",
        "additionalProperties": False,
        "properties": {name: field for name, field in schema["properties"].items() if name not in _MADE_HERE},
        **({"required": required} if required else {}),
    }
    return {
        "requestBody": {"required": True, "content": {"application/json": {"schema": shown, "example": example}}},
    }


def _whole(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with those of its models put where they are meant: as answers show them, they want every field."""
    models = {f"#/components/schemas/{name}": each for name, each in schema.pop("$defs", {}).items()}

    def put(node: Any) -> Any:
        if isinstance(node, list):
            return [put(each) for each in node]
        if not isinstance(node, dict):
            return node
        meant = models.get(node.get("$ref", ""), {})
        if meant.get("type") == "object":
            return put(meant)
        return {name: put(each) for name, each in node.items() if name != "discriminator"}

    found: dict[str, Any] = put(schema)
    return found


def _conflict(code: Code, detail: str, field: str) -> dict[str, Any]:
    return _problem(
        "It contradicts what is there. Nothing was changed.", HTTPStatus.CONFLICT, code, f"{field}: {detail}", field
    )


METRICS: Final = _documented(
    Metric,
    {"key": "api_calls", "name": "API calls", "unit": "calls", "aggregation": "count", "reset_period": "monthly"},
    {"name": "Calls", "retired": True},
    _conflict(
        Code.MEANING_WOULD_CHANGE,
        "is count and cannot become sum: numbers that were reported would mean something else; define a new metric, "
        "and retire this one",
        "aggregation",
    ),
    ("aggregation", "is 'median'; choose one of 'count', 'sum', 'avg', 'min', 'max'"),
    in_use=_conflict(Code.METRIC_HAS_USAGE, "metric 'api_calls' has usage, which must stay explainable", "key"),
    more={
        503: _problem(
            "ClickHouse or Kafka does not answer, or ClickHouse does not have all events yet.",
            HTTPStatus.SERVICE_UNAVAILABLE,
            Code.CLICKHOUSE_UNAVAILABLE,
            "whether metric 'api_calls' has usage cannot be told, so nothing was changed",
        )
    },
)
QUOTAS: Final = _documented(
    Quota,
    {"metric": "api_calls", "tenant_id": "acme", "included": "10000", "price_per_unit": "0.05", "currency": "EUR"},
    {"included": "20000"},
    _conflict(
        Code.CONFLICT, "tenant 'acme' already have a quota of api_calls: two would overlap. Change that one", "metric"
    ),
    ("included", 'it is not a decimal number; write it like 1.5 or "1.5"'),
)
THRESHOLDS: Final = _documented(
    Threshold,
    {"metric": "api_calls", "tenant_id": "acme", "amount": "10000", "steps": ["80", "100"], "action": "block"},
    {"amount": "20000", "action": "alert"},
    _conflict(Code.CONFLICT, "threshold 'th_1' is defined already; update it instead", "id"),
    ("amount", "is 0; a threshold must be above 0, or every tenant would be over it from the start"),
    optional=("id",),
)
TENANTS: Final = _documented(
    Tenant,
    {"id": "acme", "name": "Acme GmbH", "time_zone": "Europe/Vienna", "billing_anchor": 15},
    {"time_zone": "Europe/Vienna"},
    _conflict(Code.CONFLICT, "tenant 'acme' is defined already; update it instead", "id"),
    ("time_zone", "'Vienna' is no time zone; write an IANA name such as Europe/Vienna or UTC"),
)
WEBHOOKS: Final = _documented(
    Webhook,
    {"url": "https://example.com/hooks/meterline", "events": ["threshold.exceeded"], "tenant_id": "acme"},
    {"enabled": False},
    _conflict(Code.CONFLICT, "webhook 'wh_1' is defined already; update it instead", "id"),
    ("url", "must be an http or https address, such as https://example.com/hooks/meterline"),
    in_use=_conflict(Code.IN_USE, "'wh_1' is used by threshold 'th_1'; delete that first", "id"),
    optional=("id", "secret"),
)
KEYS: Final = _documented(
    ApiKey,
    {"name": "orders service", "role": "producer", "tenants": ["acme"]},
    {"revoked_at": "2026-11-21T12:00:00Z"},
    _conflict(Code.CONFLICT, "key 'abcd' is defined already; update it instead", "id"),
    ("expires_at", "has passed already"),
    optional=("id", "hash"),
)
PLANS: Final = _documented(
    Plan,
    {
        "id": "team",
        "name": "Team",
        "currency": "USD",
        "versions": [
            {
                "base_fee": "199",
                "charges": [
                    {
                        "metric": "api_calls",
                        "name": "API calls",
                        "description": "Public API usage",
                        "included": "1000",
                        "price": {"model": "per_unit", "unit_price": "0.01", "per": "1000"},
                    }
                ],
            }
        ],
    },
    {"name": "Teams"},
    _conflict(
        Code.MEANING_WOULD_CHANGE,
        "has begun and tenants are or were on it: it stays as it is. Add a version with a `start` to come",
        "versions.0",
    ),
    ("versions.0.charges.0.metric", "'api_calls' is not defined; define the metric first"),
    in_use=_conflict(Code.IN_USE, "tenants are, were or will be on plan 'team', such as acme", "id"),
)
TENANT_PLANS: Final = _documented(
    TenantPlan,
    {"tenant_id": "acme", "spans": [{"start": "2026-11-01T00:00:00Z", "plan": "team"}]},
    {"spans": []},
    _conflict(
        Code.MEANING_WOULD_CHANGE,
        "tenant 'acme' is invoiced until 2026-11-01T00:00:00Z: its plan changes from then on only",
        "spans",
    ),
    ("plan", "there is no plan 'team'; define it first"),
)
