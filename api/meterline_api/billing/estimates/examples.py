"""Answers and bodies of estimates and simulations as the OpenAPI document shows them."""

from __future__ import annotations

from typing import Any, Final

from meterline_api.billing.estimates.models import SimulationRequest
from meterline_api.catalog_examples import PLANS
from meterline_api.examples import UNAUTHORIZED, json_body, problem

Answers = dict[int | str, dict[str, Any]]

_LINE: Final[dict[str, Any]] = {
    "kind": "usage",
    "plan": "team",
    "metric": "api_calls",
    "name": "API calls",
    "description": "",
    "from": "2026-11-01T00:00:00.000Z",
    "to": "2026-12-01T00:00:00.000Z",
    "share": None,
    "unit": "call",
    "quantity": "50000",
    "included": "0",
    "rate": "0.01",
    "per": "1000",
    "tiers": [],
    "amount": "0.50",
    "origin": None,
    "events": "/v1/exports/events?tenant_id=acme&metric=api_calls",
    "exact_amount": "0.5",
}
_ESTIMATE: Final = {
    "tenant_id": "acme",
    "plan": "team",
    "currency": "USD",
    "from": "2026-11-01T00:00:00.000Z",
    "to": "2026-12-01T00:00:00.000Z",
    "at": "2026-11-16T00:00:00.000Z",
    "current": {"total": "0.50", "exact_total": "0.5", "lines": [_LINE]},
    "projected": {
        "total": "1.00",
        "exact_total": "1",
        "lines": [{**_LINE, "quantity": "100000", "amount": "1.00", "exact_amount": "1"}],
        "seasonal": [],
    },
    "previous": {
        "from": "2026-10-01T00:00:00.000Z",
        "to": "2026-11-01T00:00:00.000Z",
        "plan": "team",
        "currency": "USD",
        "total": "0.80",
    },
    "trend": {"cost": "25"},
    "unpriced": [],
}
_COMPARED: Final = {
    "plan": "team-2027",
    "at": "2026-11-16T00:00:00.000Z",
    "data": [
        {
            "tenant_id": "acme",
            "from": "2026-11-01T00:00:00.000Z",
            "to": "2026-12-01T00:00:00.000Z",
            "current": {"plans": ["team"], "currency": "USD", "total": "0.50"},
            "simulated": {"plans": ["team-2027"], "currency": "USD", "total": "0.40"},
            "difference": "-0.10",
            "problem": "",
        }
    ],
    "totals": [{"currency": "USD", "current": "0.50", "simulated": "0.40"}],
    "pay_more": 0,
    "pay_less": 1,
    "pay_the_same": 0,
    "not_comparable": 0,
}
_CLICKHOUSE: Final = problem(
    "ClickHouse does not answer.",
    503,
    "Service Unavailable",
    "clickhouse_unavailable",
    "ClickHouse at http://127.0.0.1:8123 does not answer: Connection refused",
)


def _ok(description: str, example: Any) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"example": example}}}


ESTIMATE: Final[Answers] = {
    200: _ok("The open period.", _ESTIMATE),
    401: UNAUTHORIZED,
    404: problem("It is on no plan.", 404, "Not Found", "not_found", "tenant 'acme' is on no plan now"),
    409: problem(
        "The open period cannot be priced.",
        409,
        "Conflict",
        "conflict",
        "tenant 'acme' is on plan 'team', which is not in the catalog: define it, or put the tenant on another",
    ),
    503: _CLICKHOUSE,
}
SIMULATE: Final[Answers] = {
    200: _ok("What tenants pay, and would.", _COMPARED),
    400: PLANS.changes[400],
    401: UNAUTHORIZED,
    404: problem("There is no such plan.", 404, "Not Found", "not_found", "there is no plan 'team-2027'"),
    413: PLANS.changes[413],
    415: PLANS.changes[415],
    422: PLANS.changes[422],
    503: _CLICKHOUSE,
}
SIMULATION: Final = json_body(
    SimulationRequest,
    {
        "plan": {
            "id": "team-2027",
            "currency": "USD",
            "versions": [
                {
                    "base_fee": "0",
                    "charges": [
                        {"metric": "api_calls", "price": {"model": "per_unit", "unit_price": "0.008", "per": "1000"}}
                    ],
                }
            ],
        },
        "at": "2026-11-16T00:00:00Z",
    },
)
