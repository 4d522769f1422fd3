"""Closing periods on the whole pipeline: what is invoiced is what was sent, whenever it came and whatever dies."""

from __future__ import annotations

import json
import uuid
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from meterline_deploy.catalog_file import parse
from meterline_deploy.defaults import Default, read_default
from meterline_schemas.catalog import Aggregation, Metric, Plan, Tenant, TenantPlan
from meterline_schemas.catalog.plan import Span
from tests.api.process import ApiProcess
from tests.services.clickhouse import ClickHouseServer, execute
from tests.support.pipeline import Pipeline
from tests.support.streams import wait_until

DAY = timedelta(days=1)
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
MONTH = (TODAY.replace(day=1) - DAY).replace(day=1)
COMPANY = "company"
DAILY = [f"daily-{number}" for number in range(3)]
FIRST = TODAY - 5 * DAY

CALLS = Metric(key="calls", unit="call", aggregation=Aggregation.SUM)
BY_THE_DAY = Plan.model_validate(
    {
        "id": "by-the-day",
        "currency": "EUR",
        "period": "daily",
        "versions": [
            {
                "base_fee": "0.99",
                "charges": [
                    {"metric": "calls", "included": "10", "price": {"model": "per_unit", "unit_price": "0.033"}}
                ],
            }
        ],
    }
)


@pytest.fixture(scope="module")
def pipeline(
    kafka: str, clickhouse_server: ClickHouseServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pipeline]:
    database = clickhouse_server.settings(f"close{uuid.uuid4().hex[:12]}")
    prefix = f"close{uuid.uuid4().hex[:8]}."
    with Pipeline(kafka, prefix, tmp_path_factory.mktemp("pipeline"), database, partitions=2) as started:
        started.configure(
            *(written.entry for written in parse(read_default(Default.PLAN_ORDER_MANAGEMENT))[0]),
            CALLS,
            BY_THE_DAY,
            Tenant(id="quiet", excluded="a test tenant"),
            TenantPlan(tenant_id=COMPANY, spans=(Span(start=MONTH, plan="order-management"),)),
            *(TenantPlan(tenant_id=name, spans=(Span(start=FIRST, plan="by-the-day"),)) for name in (*DAILY, "quiet")),
        )
        started.start("stream", "meterline_streams", METERLINE_ACCEPT_PAST="P70D")
        started.start("sink", "meterline_sinks")
        yield started
    clickhouse_server.restore()
    execute(database, f"DROP DATABASE IF EXISTS {database.database} SYNC")


@pytest.fixture(scope="module")
def sent() -> dict[tuple[str, datetime], Decimal]:
    """Calls of each daily tenant and day, as they were sent."""
    return defaultdict(Decimal)


def api_of(pipeline: Pipeline, folder: Path, **settings: str) -> ApiProcess:
    folder.mkdir(exist_ok=True)
    process = ApiProcess(
        pipeline.bootstrap,
        pipeline.prefix,
        pipeline.clickhouse,
        folder,
        ACCEPT_PAST="P70D",
        BILLING_LOST_AFTER="PT2S",
        **settings,
    )
    process.start()
    return process


def event(tenant: str, metric: str, quantity: str, at: datetime) -> dict[str, Any]:
    return {
        "id": str(uuid.uuid4()),
        "tenant_id": tenant,
        "metric": metric,
        "quantity": quantity,
        "timestamp": at.isoformat(),
    }


def send(api: ApiProcess, *events: dict[str, Any]) -> None:
    answer = api.send(json.dumps(events))
    assert answer.status_code == 202, answer.text
    assert answer.json()["accepted"] == len(events)


def close(api: ApiProcess, **more: Any) -> dict[str, Any]:
    """Have periods closed now, and wait for the run."""
    due = datetime.now(UTC).replace(microsecond=0).isoformat()
    answer = api.client.post("/v1/billing/runs", json={"job": "close", "due": due, **more})
    if more.get("dry_run"):
        assert answer.status_code == 200, answer.text
        return dict(answer.json())
    assert answer.status_code == 202, answer.text
    path = f"/v1/billing/runs/close/{due}"
    wait_until(lambda: api.client.get(path).json()["state"] in ("done", "failed"), 90, "the run ended")
    return dict(api.client.get(path).json())


def invoices(api: ApiProcess, expected: int, **query: Any) -> list[dict[str, Any]]:
    """Once ClickHouse has as many."""
    found: list[dict[str, Any]] = []

    def there() -> bool:
        found[:] = api.client.get("/v1/invoices", params={"limit": 1000, **query}).json()["data"]
        return len(found) >= expected

    wait_until(there, 30, f"{expected} invoices")
    return found


def owed(calls: Decimal) -> Decimal:
    """A day by the plan: a recount of its own."""
    cents = max(calls - 10, Decimal(0)) * Decimal("3.3")
    whole = int(cents)
    rest = cents - whole
    return Decimal(99 + whole + (rest > Decimal("0.5") or (rest == Decimal("0.5") and whole % 2 == 1))) / 100


@pytest.fixture(scope="module")
def closed(
    pipeline: Pipeline,
    sent: dict[tuple[str, datetime], Decimal],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[ApiProcess, dict[str, Any]]]:
    """An API by which the company's month and the first days of the others were closed, and the run that did it."""
    api = api_of(pipeline, tmp_path_factory.mktemp("first"), BILLING_GRACE="P2D" if TODAY.day > 2 else "PT0S")
    at = MONTH + 12 * DAY
    send(api, event(COMPANY, "storage", "45", MONTH))
    for metric, quantities in (
        ("order", ["1000", "250"]),
        ("invoice", ["980"]),
        ("api_call", ["49999.5", "0.5"]),
        ("ai_job", ["60", "59", "1"]),
    ):
        send(api, *(event(COMPANY, metric, quantity, at) for quantity in quantities))
    for name in (*DAILY, "quiet"):
        for number in range(5):
            day = FIRST + number * DAY
            quantities = [str(7 * number + len(name)), "0.125", "3"]
            send(api, *(event(name, "calls", quantity, day + timedelta(hours=9)) for quantity in quantities))
            sent[name, day] += sum(map(Decimal, quantities))
    dry = close(api, dry_run=True)
    assert not api.client.get("/v1/invoices").json()["data"]
    run = close(api)
    assert run["result"]["invoices"] == dry["result"]["invoices"]
    yield api, run
    api.stop()


def test_the_example_company_is_invoiced_to_the_cent(closed: tuple[ApiProcess, dict[str, Any]]) -> None:
    api, run = closed
    assert run["state"] == "done", run
    assert run["problems"] == []
    (found,) = [each for each in invoices(api, 1, tenant_id=COMPANY) if each["from"].startswith(f"{MONTH:%Y-%m}")]
    assert found["total"] == "478.50"
    amounts = {line["metric"]: line["amount"] for line in found["lines"]}
    assert amounts == {
        None: "199.00",
        "order": "125.00",
        "invoice": "49.00",
        "storage": "45.00",
        "api_call": "0.50",
        "ai_job": "60.00",
    }
    path = f"/v1/invoices/{found['number']}"
    same = [api.client.get(path, params={"format": form}) for form in ("json", "csv", "pdf")]
    assert [each.status_code for each in same] == [200, 200, 200]
    again = [api.client.get(str(each.url)).content for each in same]
    assert again == [each.content for each in same]


def test_numbers_have_no_gap_and_who_is_excluded_has_no_invoice(closed: tuple[ApiProcess, dict[str, Any]]) -> None:
    api, run = closed
    found = invoices(api, int(run["result"]["invoices"]))
    assert [each["number"] for each in found] == [f"INV-{number:06d}" for number in range(1, len(found) + 1)]
    assert "quiet" not in {each["tenant_id"] for each in found}


def test_what_comes_after_the_close_is_told_and_is_on_the_next_invoice(
    closed: tuple[ApiProcess, dict[str, Any]],
    pipeline: Pipeline,
    sent: dict[tuple[str, datetime], Decimal],
    tmp_path: Path,
) -> None:
    api, _run = closed
    before = {each["from"]: each for each in invoices(api, 1, tenant_id=DAILY[0])}
    late_day = FIRST + DAY
    send(api, event(DAILY[0], "calls", "100", late_day + timedelta(hours=9)))
    sent[DAILY[0], late_day] += 100

    def told() -> list[dict[str, Any]]:
        return list(api.client.get("/v1/billing/changes-after-close").json()["data"])

    wait_until(lambda: bool(told()), 30, "the change told")
    (change,) = told()
    origin = next(each for start, each in before.items() if start.startswith(f"{late_day:%Y-%m-%d}"))
    assert (change["invoice"], change["metric"], change["quantity"]) == (origin["number"], "calls", "100")
    other = api_of(pipeline, tmp_path / "second", BILLING_GRACE="PT0S")
    try:
        run = close(other)
        assert (run["state"], run["problems"]) == ("done", [])
        assert told() == []
        after = invoices(other, 5, tenant_id=DAILY[0])
        line = next(line for each in after for line in each["lines"] if line["kind"] == "adjustment")
        assert (line["origin"], line["quantity"]) == (origin["number"], "100")
        for name in DAILY:
            mine = invoices(other, 5, tenant_id=name, kind="invoice")
            total = sum(Decimal(each["total"]) for each in mine)
            assert total == sum(owed(sent[name, FIRST + number * DAY]) for number in range(5)), name
            assert [each["from"][:10] for each in sorted(mine, key=lambda one: str(one["from"]))] == [
                f"{FIRST + number * DAY:%Y-%m-%d}" for number in range(5)
            ]
        assert next(each for each in after if each["number"] == origin["number"]) == origin
    finally:
        other.stop()


def test_an_invoice_is_taken_back_once(closed: tuple[ApiProcess, dict[str, Any]]) -> None:
    api, _run = closed
    (first, *_) = invoices(api, 1, tenant_id=DAILY[2])
    note = api.client.post(f"/v1/invoices/{first['number']}/void", json={"reason": "agreed"})
    assert note.status_code == 201, note.text
    assert Decimal(note.json()["total"]) == -Decimal(first["total"])
    assert api.client.post(f"/v1/invoices/{first['number']}/void", json={"reason": "again"}).status_code == 409
    wait_until(
        lambda: api.client.get(f"/v1/invoices/{first['number']}").json()["status"] == "void", 30, "it is shown as void"
    )


def test_days_are_closed_with_their_periods_and_void_with_their_invoice(
    closed: tuple[ApiProcess, dict[str, Any]], pipeline: Pipeline
) -> None:
    api, _run = closed
    written = [each for name in DAILY for each in invoices(api, 1, tenant_id=name, kind="invoice")]
    sql = (
        f"SELECT tenant_id, day, state, invoices[1] FROM {pipeline.clickhouse.database}.usage_days "
        "WHERE startsWith(tenant_id, 'daily-') AND state != 'open' FORMAT TSV"
    )
    days = {tuple(row.split("\t")) for row in execute(pipeline.clickhouse, sql).splitlines()}
    assert days == {(each["tenant_id"], each["from"][:10], each["status"], each["number"]) for each in written}
    assert {state for _name, _day, state, _number in days} == {"closed", "void"}


def test_a_draft_is_what_the_open_period_comes_to(closed: tuple[ApiProcess, dict[str, Any]]) -> None:
    api, _run = closed
    send(api, event(DAILY[1], "calls", "25", TODAY))
    wait_until(
        lambda: Decimal(api.client.get(f"/v1/tenants/{DAILY[1]}/draft-invoice").json()["total"]) == owed(Decimal(25)),
        30,
        "the draft has it",
    )
    assert api.client.get("/v1/tenants/nobody/draft-invoice").status_code == 404


def test_a_plan_changes_only_from_where_its_tenant_is_not_closed(closed: tuple[ApiProcess, dict[str, Any]]) -> None:
    api, _run = closed
    path = f"/v1/tenants/{DAILY[1]}/plan"
    before = api.client.get(path).json()
    refused = api.client.put(path, json={"plan": "order-management", "start": FIRST.isoformat()})
    assert refused.status_code == 409, refused.text
    assert "is invoiced until" in refused.text
    assert api.client.get(path).json() == before
    later = api.client.put(path, json={"plan": "order-management", "start": (TODAY + 400 * DAY).isoformat()})
    assert later.status_code == 200, later.text
