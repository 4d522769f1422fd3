"""An installation with plans, tenants on them, and what they used; prices are counted again by hand."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

import httpx

from meterline_deploy.catalog_file import parse
from meterline_deploy.defaults import Default, read_default
from meterline_schemas.catalog import Aggregation, Entry, Metric, Plan, Tenant, TenantPlan
from meterline_schemas.catalog.plan import Span
from tests.api.process import ApiProcess
from tests.support.streams import wait_until

DAY: Final = timedelta(days=1)
HOUR: Final = timedelta(hours=1)
TODAY: Final = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
MONTH: Final = TODAY.replace(day=1)
LAST: Final = (MONTH - DAY).replace(day=1)
LAB, OTHER, WEEKLY, ORG, SERVED, NEW = "lab", "other-lab", "weekly", "org_plan", "tenant-123", "new-lab"
EXAMPLE: Final = {"order": "1250", "invoice": "980", "api_call": "50000", "ai_job": "120"}
HISTORY: Final = 70  # days
OLD: Final = datetime(2022, 1, 1, tzinfo=UTC)  # of requirement document 5's example
DEFAULTS: Final = (Default.PLAN_ORDER_MANAGEMENT, Default.PLAN_PAY_AS_YOU_GO, Default.PLAN_SERVICES)


def per_unit(metric: str, price: str, **more: str) -> dict[str, Any]:
    return {"metric": metric, "price": {"model": "per_unit", "unit_price": price}, **more}


FLAT: Final[dict[str, Any]] = {
    "id": "flat",
    "currency": "USD",
    "versions": [
        {
            "base_fee": "49.90",
            "charges": [
                per_unit("order", "0.175", included="200"),
                per_unit("storage", "0.5", measure="unit_months"),
                {"metric": "ai_job", "price": {"model": "package", "price": "7", "size": "25"}, "cap": "30"},
            ],
        }
    ],
}
BY_WEEKDAY: Final[dict[str, Any]] = {
    "id": "by-weekday",
    "currency": "EUR",
    "versions": [{"base_fee": "10", "charges": [per_unit("visits", "0.0137")]}],
}


def on(tenant: str, plan: str, start: datetime) -> TenantPlan:
    return TenantPlan(tenant_id=tenant, spans=(Span(start=start, plan=plan),))


def entries() -> list[Entry]:
    found: dict[tuple[str, str], Entry] = {}
    for name in DEFAULTS:
        for written in parse(read_default(name))[0]:
            found[written.entry.kind, written.entry.identity] = written.entry
    return [
        *found.values(),
        Metric(key="visits", aggregation=Aggregation.SUM, unit="visit"),
        Plan.model_validate(FLAT),
        Plan.model_validate(BY_WEEKDAY),
        Tenant.model_validate({"id": SERVED, "billing": "none"}),
        Tenant.model_validate({"id": WEEKLY, "billing": "none"}),
        on(LAB, "order-management", LAST),
        on(OTHER, "flat", LAST),
        on(NEW, "order-management", LAST),
        on(WEEKLY, "by-weekday", LAST),
        on(ORG, "pay-as-you-go", MONTH),
        TenantPlan(tenant_id=SERVED, spans=(Span(start=OLD, plan="services"), Span(start=OLD + 31 * DAY, plan=None))),
    ]


def event(tenant: str, metric: str, quantity: str, at: datetime) -> dict[str, Any]:
    return {
        "id": str(uuid.uuid4()),
        "tenant_id": tenant,
        "metric": metric,
        "quantity": quantity,
        "timestamp": at.isoformat(),
    }


def visits(day: datetime) -> Decimal:
    """What is used on a day: more on Mondays than on Sundays, and never the same."""
    return Decimal((7 - day.weekday()) * 1000 + day.toordinal() % 13) / 8


def events() -> Iterable[dict[str, Any]]:
    for tenant in (LAB, OTHER):
        yield event(tenant, "storage", "45", LAST)
        for metric, quantity in EXAMPLE.items():
            yield event(tenant, metric, quantity, LAST + 12 * DAY)
        yield event(tenant, "order", "10", MONTH)
    yield event(NEW, "order", "3", LAST)
    yield event(ORG, "ocr_scan", "75", MONTH)
    yield event(ORG, "email_sent", "10", MONTH)
    for back in range(1, HISTORY + 1):
        day = TODAY - back * DAY
        yield event(WEEKLY, "visits", str(visits(day)), day + 9 * HOUR)
    for _ in range(5):
        yield event(SERVED, "marketplace.wpk_upload", "1", OLD)


def exact(answer: httpx.Response, status: int = 200) -> Any:
    """The body of an answer, numbers as decimals."""
    assert answer.status_code == status, answer.text
    return json.loads(answer.content, parse_float=Decimal, parse_int=Decimal)


def cents(amount: Fraction) -> Decimal:
    """To two decimals, half to even."""
    return Decimal(round(amount * 100)) / 100


def iso(text: str) -> datetime:
    return datetime.fromisoformat(text)


def close(api: ApiProcess) -> dict[str, Any]:
    """Have all periods closed that have ended, and wait for the run."""
    due = datetime.now(UTC).replace(microsecond=0).isoformat()
    answer = api.client.post("/v1/billing/runs", json={"job": "close", "due": due})
    assert answer.status_code == 202, answer.text
    path = f"/v1/billing/runs/close/{due}"
    wait_until(lambda: api.client.get(path).json().get("state") in ("done", "failed"), 90, "the run ended")
    found: dict[str, Any] = api.client.get(path).json()
    assert (found["state"], found["problems"]) == ("done", []), found
    return found


def invoices(api: ApiProcess, tenant: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.client.get("/v1/invoices", params={"tenant_id": tenant}).json()["data"]
    return found
