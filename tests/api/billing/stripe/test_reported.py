"""What document 2 says of Stripe (``reportedToStripe`` of each feature and period) against what the stand-in has."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from meterline_schemas.catalog import Aggregation, Billing, Metric, Plan, StripeMeter, Tenant, TenantPlan
from meterline_schemas.catalog.plan import Span
from meterline_schemas.periods import Period
from tests.api.billing.estimates.site import close
from tests.api.billing.stripe.stand_in import StandIn
from tests.api.billing.stripe.town import DAY, EVENTS, TODAY, Town
from tests.api.documents import exact
from tests.services.clickhouse import ClickHouseServer, execute
from tests.support.pipeline import Pipeline
from tests.support.streams import wait_until

YESTERDAY = TODAY - DAY
HOUR = timedelta(hours=1)
SCALES = {"order": 0, "call": 2, "disk": 6, "other": 0}
BY_DAY = Plan.model_validate(
    {
        "id": "by-day",
        "currency": "EUR",
        "period": "daily",
        "versions": [
            {"charges": [{"metric": "order", "included": "2", "price": {"model": "per_unit", "unit_price": "0.50"}}]}
        ],
    }
)
Told = dict[tuple[str, str], bool]


@pytest.fixture(scope="module")
def town(
    kafka: str, clickhouse_server: ClickHouseServer, stand_in: StandIn, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Town]:
    database = clickhouse_server.settings(f"told{uuid.uuid4().hex[:12]}")
    tag = f"told{uuid.uuid4().hex[:8]}"
    stand_in.clear_faults()
    with Pipeline(kafka, f"{tag}.", tmp_path_factory.mktemp("pipeline"), database, partitions=2) as pipeline:
        acme, beta = (stand_in.make("customers", {"name": name}) for name in ("acme", "beta"))
        since = (TODAY - 3 * DAY).date()
        pipeline.configure(
            Metric(key="order", aggregation=Aggregation.SUM, reset_period=Period.DAILY),
            Metric(key="call", aggregation=Aggregation.SUM),
            Metric(key="other", aggregation=Aggregation.SUM, reset_period=Period.DAILY),
            Metric(key="disk", aggregation=Aggregation.TIME_WEIGHTED, reset_period=Period.DAILY),
            *(meter(stand_in, metric, tag, scale) for metric, scale in SCALES.items() if metric != "other"),
            BY_DAY,
            Tenant(id="acme", billing=Billing.METER, stripe_customer=acme, metered_since=since),
            Tenant(id="beta", billing=Billing.INVOICE_ITEMS, stripe_customer=beta),
            TenantPlan(tenant_id="beta", spans=(Span(start=TODAY - 2 * DAY, plan="by-day"),)),
        )
        pipeline.start("stream", "meterline_streams", METERLINE_ACCEPT_PAST="P70D")
        pipeline.start("sink", "meterline_sinks")
        made = Town(pipeline, stand_in, tmp_path_factory.mktemp("town"))
        yield made
        assert "Traceback" not in made.asked.log()
        assert made.asked.stop() == 0
    execute(database, f"DROP DATABASE IF EXISTS {database.database} SYNC")


def meter(stripe: StandIn, metric: str, tag: str, scale: int) -> StripeMeter:
    form = {"display_name": metric, "event_name": f"{tag}_{metric}", "event_time_window": "day"}
    made = stripe.make("billing/meters", {**form, "default_aggregation[formula]": "sum"})
    return StripeMeter(metric=metric, meter=made, event_name=f"{tag}_{metric}", scale=scale, prices={})


def history(town: Town, tenant: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Each feature of each period by its name and the day that the period begins on."""
    periods = exact(town.asked.client.get(f"/api/usage/{tenant}/history"))["periods"]
    return {(each["feature"], each["periodStart"][:10]): each for one in periods for each in one["features"]}


def wait_for(town: Town, tenant: str, quantities: dict[tuple[str, str], str], told: Told | None = None) -> None:
    """Until these quantities are answered and, with ``told``, this is said of Stripe."""

    def seen() -> bool:
        found = history(town, tenant)
        right = all(found.get(key, {}).get("totalQuantity") == Decimal(each) for key, each in quantities.items())
        return right and (told is None or {key: found[key]["reportedToStripe"] for key in told} == told)

    wait_until(seen, 60, lambda: f"{quantities} and {told}: {history(town, tenant)}")


def of(day: Any) -> str:
    return f"{day:%Y-%m-%d}"


def at_stripe(town: Town, metric: str) -> dict[date, Decimal]:
    """What the stand-in has of the metric of this installation, in its unit, by day."""
    (entry,) = town.pipeline.query(f"SELECT any(meter) AS meter FROM {{db}}.stripe_pushes WHERE metric = '{metric}'")
    return {
        day: Decimal(value).scaleb(-SCALES[metric])
        for (_, of_meter, day), value in town.stripe.days().items()
        if of_meter == entry["meter"]
    }


def test_a_period_is_reported_once_all_of_it_was_pushed_and_not_when_more_comes(town: Town) -> None:
    before, month = YESTERDAY - DAY, of(YESTERDAY.replace(day=1))
    town.use("acme", "order", "5", YESTERDAY + HOUR)
    town.use("acme", "order", "7", before + HOUR)
    town.use("acme", "call", "1.25", YESTERDAY + HOUR)
    town.use("acme", "other", "3", YESTERDAY + HOUR)
    town.use("acme", "disk", "40", before)
    used = {
        ("ORDER", of(YESTERDAY)): "5",
        ("ORDER", of(before)): "7",
        ("CALL", month): "1.25",
        ("DISK", of(before)): "40",
    }
    used |= {("DISK", of(YESTERDAY)): "40", ("OTHER", of(YESTERDAY)): "3"}
    never = {("OTHER", of(YESTERDAY)): False, ("DISK", of(TODAY)): False}
    wait_for(town, "acme", used, dict.fromkeys(used, False) | never)

    assert town.run("push")["problems"] == []
    wait_for(town, "acme", used, dict.fromkeys(used, True) | never)
    assert at_stripe(town, "order") == {YESTERDAY.date(): 5, before.date(): 7}
    assert at_stripe(town, "call") == {YESTERDAY.date(): Decimal("1.25")}
    assert at_stripe(town, "disk") == {YESTERDAY.date(): 40 * 24, before.date(): 40 * 24}
    current = exact(town.asked.client.get("/api/usage/acme"))["features"]
    this_month = month == of(TODAY.replace(day=1))
    expected = {"DISK": False} | ({"CALL": True} if this_month else {})
    assert {each["feature"]: each["reportedToStripe"] for each in current} == expected

    town.use("acme", "order", "2", YESTERDAY + 2 * HOUR)
    used["ORDER", of(YESTERDAY)] = "7"
    told = dict.fromkeys(used, True) | never
    wait_for(town, "acme", used, told | {("ORDER", of(YESTERDAY)): False})
    town.stripe.control("faults", kind="after", path=EVENTS, times=None)
    assert town.run("push")["result"]["open"] == "1"
    pushed = "SELECT state FROM {db}.stripe_pushes WHERE metric = 'order' AND revision = 2"
    wait_until(lambda: town.pipeline.query(pushed) == [{"state": "intent"}], 60, "the push without an answer is there")
    wait_for(town, "acme", used, told | {("ORDER", of(YESTERDAY)): False})
    town.stripe.clear_faults()
    assert town.run("retry")["result"]["settled"] == "1"
    wait_for(town, "acme", used, told)
    assert at_stripe(town, "order") == {YESTERDAY.date(): 7, before.date(): 7}

    sent = exact(town.asked.client.post("/api/usage/track", json={"organizationId": "acme", "feature": "call"}))
    assert sent["reportedToStripe"] is False
    if this_month:  # what was used today is not at Stripe before the day is over
        wait_for(town, "acme", {("CALL", month): "2.25"}, {("CALL", month): False})


def test_a_closed_period_is_reported_once_the_items_of_its_invoice_are_there(town: Town) -> None:
    key = ("ORDER", of(YESTERDAY))
    town.use("beta", "order", "6", YESTERDAY + HOUR)
    town.use("beta", "other", "1", YESTERDAY + HOUR)
    other = {("OTHER", of(YESTERDAY)): False}
    wait_for(town, "beta", {key: "6"}, {key: False} | other)
    closing = town.api("closing", BILLING_ENABLED="false", BILLING_GRACE="PT0S")
    closing.start()
    close(closing)
    assert closing.stop() == 0
    rows = "SELECT number FROM {db}.invoices WHERE tenant_id = 'beta' AND total > 0"
    wait_until(lambda: len(town.pipeline.query(rows)) == 1, 60, "the period is invoiced")
    wait_for(town, "beta", {key: "6"}, {key: False} | other)
    assert town.run("items")["result"]["delivered"] == "1"
    wait_for(town, "beta", {key: "6"}, {key: True} | other)
    shown = "SELECT state, currency, amount, delivered, ids FROM {db}.stripe_items WHERE tenant_id = 'beta'"
    (row,) = town.pipeline.query(shown)
    assert (row["state"], row["currency"], row["amount"], row["delivered"]) == ("delivered", "EUR", 200, 200)
    assert row["ids"][0].startswith("ii_")
    town.use("beta", "order", "1", YESTERDAY + 2 * HOUR)
    wait_for(town, "beta", {key: "7"}, {key: False} | other)
