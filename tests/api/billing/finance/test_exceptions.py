"""The list of exceptions: empty where all is well; every kind is found where it was planted, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from meterline_api.billing.exceptions import closing, pushes, setup
from meterline_api.billing.exceptions.found import Kind
from meterline_api.billing.stripe.plan import Problem, Trouble
from meterline_schemas import topics
from meterline_schemas.billing.closing import Closing
from meterline_schemas.billing.payment import StripeInvoice, StripeStatus
from meterline_schemas.billing.payment import encode as encode_payment
from meterline_schemas.billing.push import Push, PushState
from meterline_schemas.billing.push import encode as encode_push
from meterline_schemas.billing.run import Job, Run, RunState
from meterline_schemas.catalog import Billing, Book, Entry, Plan, StripeMeter, Tenant, TenantPlan
from meterline_schemas.catalog.plan import Span
from tests.api.billing.finance.company import DAY, LAST, THIS, TODAY, UTCS, Site, body
from tests.api.process import KEY
from tests.support import cluster
from tests.support.streams import wait_until

PATH = "/v1/billing/exceptions"
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
METERED, IDLE, STRANGER, GONE = "metered", "idle", "stranger", "gone"
OLD, OLDER = (TODAY - days * DAY for days in (32, 37))
METER = StripeMeter(metric="calls", meter="mtr_1", event_name="calls", scale=6, prices={})


def push(tenant: str, day: datetime, state: PushState, metric: str = "calls", detail: str = "") -> Push:
    return Push("cus_1", "mtr_1", day.date(), 1, 7, tenant, metric, state, day + DAY, detail)


def wanted() -> list[tuple[str, str, str | None]]:
    return sorted(
        [
            ("unpriced_usage", UTCS, "extra"),
            ("no_plan", IDLE, "calls"),
            ("no_plan", GONE, "calls"),
            ("unknown_tenant", STRANGER, "calls"),
            ("no_meter", METERED, "people"),
            ("push_refused", METERED, "calls"),
            ("push_nearly_too_old", METERED, "calls"),
            ("push_nearly_too_old", METERED, "peak"),
            ("push_too_old", METERED, "calls"),
            ("push_too_old", METERED, "peak"),
            ("not_closed", GONE, None),
            ("payment_failed", UTCS, None),
        ],
        key=str,
    )


def entries() -> Iterator[Entry]:
    charge = {"metric": "people", "price": {"model": "per_unit", "unit_price": "1"}}
    other = {"metric": "calls", "price": {"model": "per_unit", "unit_price": "1"}}
    yield METER
    yield Tenant(id=IDLE)
    yield Tenant(id=GONE)
    yield Plan.model_validate({"id": "metered", "currency": "EUR", "versions": [{"charges": [charge, other]}]})
    yield Plan.model_validate({"id": "dollars", "currency": "USD", "versions": [{"charges": [other]}]})
    yield Plan.model_validate({"id": "euros", "currency": "EUR", "versions": [{"charges": [other]}]})
    # days from the beginning on: nothing of it is ours to close
    yield Tenant.model_validate({"id": METERED, "billing": "meter", "stripe_customer": "cus_1"})
    yield TenantPlan(tenant_id=METERED, spans=(Span(start=LAST, plan="metered"),))
    spans = (Span(start=LAST, plan="dollars"), Span(start=LAST + 9 * DAY, plan="euros"), Span(start=THIS, plan=None))
    yield TenantPlan(tenant_id=GONE, spans=spans)


@pytest.fixture(scope="module")
def planted(closed: Site) -> Site:
    """One of each."""
    assert closed.pages(PATH) == []
    sender = cluster.producer(closed.kafka)

    def put(topic: str, key: bytes, value: bytes) -> None:
        sender.produce(closed.prefix + topic, value, key, 0)

    for entry in entries():
        put(topics.CONFIG, entry.record_key, entry.encode())
    for one in (
        push(METERED, TODAY - 3 * DAY, PushState.REFUSED, detail="No such customer"),
        push(METERED, TODAY - 2 * DAY, PushState.INTENT),  # under way
        push(METERED, OLD, PushState.INTENT, "peak"),
        push(METERED, OLDER, PushState.REFUSED, "peak"),
    ):
        put(topics.PUSHES, one.key, encode_push(one))
    failed = StripeInvoice(
        id="in_1",
        customer="cus_1",
        status=StripeStatus.OPEN,
        currency="EUR",
        amount_due=Decimal("12.50"),
        amount_paid=Decimal("2"),
        created_at=NOW,
        since=NOW,
        seen_at=NOW,
        tenant_id=UTCS,
        numbers=("INV-000001",),
        attempts=1,
        failed=1,
        failed_at=NOW,
    )
    paid = StripeInvoice(**{**as_fields(failed), "id": "in_2", "status": StripeStatus.PAID})
    for each in (failed, paid):
        put(topics.PAYMENTS, each.key, encode_payment(each))
    assert sender.flush(30) == 0
    wait_until(lambda: closed.api.client.get(f"/v1/tenants/{GONE}").status_code == 200, 30, "the catalog is known")
    at = TODAY - timedelta(hours=5)
    closed.send(
        body(UTCS, "extra", Decimal("2.5"), at),
        body(UTCS, "extra", Decimal("4"), at),
        body(IDLE, "calls", Decimal(3), at),
        body(STRANGER, "calls", Decimal(1), at),
        body(GONE, "calls", Decimal(1), TODAY if THIS == TODAY else at),
        body(GONE, "calls", Decimal(1), LAST + DAY),
        body(METERED, "calls", Decimal("1.5"), OLD + timedelta(hours=3)),
        body(METERED, "calls", Decimal("1.5"), OLDER + timedelta(hours=3)),
    )
    wait_until(lambda: sum(map(closed.counted, (IDLE, STRANGER, GONE, METERED))) == 6, 30, "the events are there")
    assert closed.run("close")["problems"], "a period in two currencies"
    wait_until(lambda: len(closed.pages(PATH)) >= len(wanted()), 30, lambda: str(closed.pages(PATH)))
    return closed


def as_fields(found: StripeInvoice) -> dict[str, Any]:
    return {name: getattr(found, name) for name in found.__struct_fields__}


def test_every_kind_is_found_where_it_was_planted_and_nothing_else(planted: Site) -> None:
    found = planted.pages(PATH, limit=3)
    assert sorted(((row["kind"], row["tenant_id"], row["metric"]) for row in found), key=str) == wanted()
    assert [row["since"] for row in planted.pages(PATH)] == [row["since"] for row in found]
    assert all(row["detail"] and row["action"] for row in found)
    by_place = {(row["kind"], row["tenant_id"], row["metric"]): row for row in found}
    extra = by_place["unpriced_usage", UTCS, "extra"]
    assert (extra["events"], extra["quantity"]) == (2, "6.5")
    assert "plan 'team' has no charge for" in extra["detail"]
    assert by_place["no_plan", IDLE, "calls"]["quantity"] == "3"
    gone = by_place["no_plan", GONE, "calls"]
    assert (gone["from"], gone["events"]) == (f"{THIS:%Y-%m-%dT%H:%M:%SZ}", 1)
    unpaid = by_place["payment_failed", UTCS, None]
    assert (unpaid["amount"], unpaid["currency"], unpaid["reference"]) == ("10.50", "EUR", "INV-000001")
    assert "an invoice is in one currency" in by_place["not_closed", GONE, None]["detail"]
    assert "No such customer" in by_place["push_refused", METERED, "calls"]["detail"]
    assert by_place["push_nearly_too_old", METERED, "calls"]["from"] == f"{OLD:%Y-%m-%dT%H:%M:%SZ}"
    assert by_place["push_too_old", METERED, "calls"]["from"] == f"{OLDER:%Y-%m-%dT%H:%M:%SZ}"


def test_they_are_filtered_and_a_caller_sees_only_those_of_its_tenants(planted: Site) -> None:
    assert {row["kind"] for row in planted.pages(PATH, kind=["no_plan", "not_closed"])} == {"no_plan", "not_closed"}
    assert {row["tenant_id"] for row in planted.pages(PATH, tenant_id=UTCS)} == {UTCS}
    made = planted.api.client.post("/v1/keys", json={"role": "finance", "tenants": [IDLE]}).json()["key"]
    mine = planted.api.client.get(PATH, headers={"Authorization": f"Bearer {made}"})
    assert {row["tenant_id"] for row in mine.json()["data"]} == {IDLE}
    assert planted.pages(PATH, **{"from": (TODAY + timedelta(seconds=1)).isoformat(), "kind": "no_plan"}) == []
    for query, code in (
        ({"kind": "weather"}, "invalid_request"),
        ({"cursor": "e30"}, "invalid_cursor"),
        ({"from": "0001-01-01T00:00:00Z"}, "invalid_range"),
        ({"from": "9999-01-01T00:00:00Z"}, "invalid_range"),
    ):
        answer = planted.api.client.get(PATH, params=query)
        assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text


def test_the_command_lists_them_and_fails_where_that_is_asked_for(planted: Site) -> None:
    environment = {"METERLINE_API_URL": str(planted.api.client.base_url), "METERLINE_API_KEY": KEY, "PATH": ""}

    def command(*more: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-m", "meterline_deploy", "billing", "exceptions", *more]
        return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120, check=False)

    listed = command("--format", "json", "--fail")
    assert listed.returncode == 1, listed.stderr
    assert len(json.loads(listed.stdout)) == len(wanted())
    none = command("--kind", "no_customer", "--fail")
    assert (none.returncode, none.stdout) == (0, "no exceptions\n"), none.stderr


def book_of(*entries: Entry) -> Book:
    book = Book()
    for entry in entries:
        assert book.apply(entry.record_key, entry.encode()) is None
    return book


def test_a_tenant_that_stripe_charges_and_does_not_know_is_told() -> None:
    class Named(Book):
        def all(self, kind: Any) -> Iterator[Any]:
            if kind is Tenant:
                yield Tenant.model_construct(id="acme", billing=Billing.INVOICE_ITEMS)

    (found,) = setup.exceptions(Named(), NOW)
    assert (found.kind, found.tenant_id) == (Kind.NO_CUSTOMER, "acme")


def test_a_metric_that_no_meter_can_have_is_told_with_the_way_out() -> None:
    (found,) = setup.exceptions(
        book_of(
            *(entry for entry in entries() if entry.identity in (METERED, "metered", "calls")),
        ),
        NOW,
    )
    assert (found.kind, found.metric) == (Kind.NO_METER, "people")


def test_a_period_is_told_once_it_was_tried_or_nobody_came_for_two_hours() -> None:
    plan = Plan.model_validate({"id": "days", "currency": "EUR", "period": "daily", "versions": [{}]})
    book = book_of(
        plan, TenantPlan(tenant_id="a", spans=(Span(start=NOW - 2 * DAY - timedelta(hours=12), plan="days"),))
    )
    start, grace = NOW - timedelta(hours=12), timedelta(hours=11)

    def told(*runs: Run, closed: int = 1, now: datetime = NOW) -> list[str]:
        closings = {"a": Closing("a", start - 2 * DAY, start - closed * DAY)}
        return [each.detail for each in closing.exceptions(book, closings, runs, now, grace)]

    def run(due: datetime, state: RunState, *problems: str) -> Run:
        return Run(Job.CLOSE, due, state, "one", due, due, problems=problems)

    assert told(closed=0) == []
    assert told() == [], "the job comes within the hour"
    assert "was not done since" in told(now=NOW + timedelta(hours=1))[0]
    assert told(run(NOW - timedelta(hours=2), RunState.DONE)) == [], "that was before its grace ended"
    failed = told(run(NOW, RunState.FAILED, "Kafka is away"))
    assert failed[0].endswith("the job close failed: Kafka is away")
    named = told(run(NOW, RunState.DONE, "tenant 'ab' is late", "tenant 'a' is not invoiced: it differs"))
    assert named[0].endswith(": tenant 'a' is not invoiced: it differs")


def test_a_day_is_told_once_by_what_stripe_said_or_by_what_a_push_would_find() -> None:
    day = NOW - 33 * DAY
    problem = Problem("a", "calls", day.date(), Trouble.NEARLY_TOO_OLD, "is pushed only now")
    refused = push("a", day, PushState.REFUSED, detail="no")
    assert [each.kind for each in pushes.exceptions([refused], [problem], NOW)] == [Kind.PUSH_REFUSED]
    assert [each.kind for each in pushes.exceptions([], [problem], NOW)] == [Kind.PUSH_NEARLY_TOO_OLD]
    late = push("a", NOW - 36 * DAY, PushState.REFUSED)
    assert [each.kind for each in pushes.exceptions([late], [], NOW)] == [Kind.PUSH_TOO_OLD]
    assert list(pushes.exceptions([push("a", NOW - DAY, PushState.INTENT)], [], NOW)) == []
