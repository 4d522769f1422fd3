"""The catalog and notifications as tables: what the real sink makes of the real topics."""

from __future__ import annotations

import json
import random
import re
import signal
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from meterline_schemas.catalog import (
    Aggregation,
    Billing,
    Entry,
    Metric,
    Plan,
    Quota,
    Span,
    Tenant,
    TenantPlan,
    Threshold,
    Webhook,
    read_entry,
)
from meterline_schemas.notification import (
    BillingThresholdExceeded,
    MetricChanged,
    Notification,
    ThresholdCrossed,
    Type,
    UsageAggregated,
    notification,
)
from meterline_schemas.periods import LAST, Period
from tests.sinks.conftest import Tables
from tests.sinks.harness import CONFIG, NOTIFICATIONS, Feed, Sinks
from tests.sinks.test_sink import check
from tests.sinks.usage import checkpoints, events
from tests.support.streams import wait_until

SECONDS = 60
AT = datetime(2026, 11, 1, 12, 30, 0, 123000, tzinfo=UTC)
SECRET = "whsec_" + "c2VjcmV0" * 5
METRIC = Metric(
    key="calls", name="Calls", unit="call", aggregation=Aggregation.AVG, group_by=("region",), changed_at=AT, version=3
)
OWN = Quota(
    metric="calls", tenant_id="a/c~me", included=Decimal("50.000000001"), price_per_unit=Decimal("0.05"),
    currency="EUR", period=Period.DAILY, time_zone="Europe/Vienna",
)  # fmt: skip
FOR_ALL = Quota(metric="calls", included=Decimal(10))
THRESHOLD = Threshold(id="t1", metric="calls", tenant_id="a/c~me", steps=("50", "100.5"), notify_emails=("a@b.at",))  # type: ignore[arg-type]
TENANT = Tenant(
    id="a/c~me",
    name="Acme",
    time_zone="Europe/Vienna",
    billing_anchor=31,
    billing=Billing.METER,
    stripe_customer="cus_9",
    metered_since=date(2026, 11, 22),
)
NEXT = datetime(2026, 12, 1, tzinfo=UTC)
TIERS = [{"up_to": "100", "unit_price": "0.5"}, {"unit_price": "0.25", "flat": "3"}]
PLAN = read_entry(
    Plan,
    {
        "id": "team", "name": "Team", "currency": "EUR",
        "versions": [
            {"base_fee": "9.99"},
            {
                "start": NEXT,
                "base_fee": "199",
                "charges": [
                    {
                        "metric": "calls", "name": "API calls", "description": "Public", "included": "1000",
                        "price": {"model": "per_unit", "unit_price": "0.000000001", "per": "1000"},
                    },
                    {"metric": "users", "price": {"model": "graduated", "tiers": TIERS}, "cap": "50"},
                ],
            },
        ],
    },
)  # fmt: skip
TENANT_PLAN = TenantPlan(
    tenant_id="a/c~me", spans=(Span(start=AT.replace(microsecond=0), plan="team"), Span(start=NEXT, plan=None))
)
WEBHOOK = Webhook(id="w", url="https://example.com/", secret=SECRET)


def put(feed: Feed, entry: Entry) -> int:
    return feed.record(CONFIG, 0, entry.encode(), entry.record_key)


def delete(feed: Feed, entry: Entry) -> int:
    return feed.record(CONFIG, 0, None, entry.record_key)


def drained(feed: Feed) -> None:
    wait_until(feed.drained, SECONDS, "everything is committed")


def shown(tables: Tables) -> dict[str, list[tuple[Any, ...]]]:
    """What an analyst sees."""
    return {
        name: tables.rows(f"SELECT * EXCEPT ({hidden}) FROM {name} {final} ORDER BY ALL")
        for name, hidden, final in (
            ("metrics", "changed_at", ""),
            ("quotas", "inserted_at", "FINAL"),
            ("thresholds", "inserted_at", "FINAL"),
            ("tenants", "inserted_at", "FINAL"),
            ("plans", "changed_at", ""),
            ("tenant_plans", "changed_at", ""),
            ("notifications", "inserted_at", "FINAL"),
        )
    }


def crossed(step: int, at: datetime = AT, *, period_end: datetime = datetime(2026, 12, 1, tzinfo=UTC)) -> Notification:
    data = ThresholdCrossed(
        threshold_id="t1", tenant_id="acme", metric="calls", subject="user:1", usage="80.5", limit="100",
        percent="80.5", step=str(step), action="alert", period="monthly",
        period_start=datetime(2026, 11, 1, tzinfo=UTC), period_end=period_end,
    )  # fmt: skip
    return notification(Type.THRESHOLD_APPROACHING, at, "acme", data, ("t1", str(step)))


def test_the_catalog_is_there_to_be_joined(feed: Feed, sinks: Sinks, tables: Tables) -> None:
    feed.record(CONFIG, 0, b'{"partitions":3}', b"partitions")
    offsets = [put(feed, entry) for entry in (METRIC, OWN, FOR_ALL, THRESHOLD, TENANT, WEBHOOK)]
    sinks.start("one")
    drained(feed)
    found = shown(tables)
    price = OWN.price_per_unit
    assert found["metrics"] == [
        ("calls", "Calls", "", "call", "avg", "monthly", "", "", ["region"], 0, 0, 3),
    ]
    assert found["quotas"] == [
        ("", "calls", "", Decimal(10), None, "", "", "", 1, None, offsets[2], 0),
        (OWN.tenant_id, "calls", "", OWN.included, price, "EUR", "daily", OWN.time_zone, 1, None, offsets[1], 0),
    ]  # fmt: skip
    assert found["thresholds"] == [
        ("t1", "calls", "a/c~me", "", None, [Decimal(50), Decimal("100.5")], "alert", "", "", 1, None, offsets[3], 0)
    ]
    since = date(2026, 11, 22)
    assert found["tenants"] == [
        ("a/c~me", "Acme", "Europe/Vienna", 31, "meter", "cus_9", since, "", 1, None, offsets[4], 0)
    ]
    ((changed_at,),) = tables.rows("SELECT toString(changed_at) FROM metrics")
    assert changed_at == "2026-11-01 12:30:00.123"
    assert "passed over" not in sinks.log("one"), "webhooks and the partition count are left out on purpose"


def test_a_plan_has_a_row_for_each_charge_of_each_version_and_those_that_are_gone_have_none(
    feed: Feed, sinks: Sinks, tables: Tables
) -> None:
    for entry in (PLAN, TENANT_PLAN):
        put(feed, entry)
    sinks.start("one")
    drained(feed)
    found = shown(tables)
    plan = ("Team", "", "EUR", "monthly")
    first, then = AT.replace(microsecond=0, tzinfo=None), NEXT.replace(tzinfo=None)
    second, price = (then, None, Decimal(199)), {"model": "per_unit", "unit_price": "0.000000001", "per": "1000"}
    assert [(*row[:-2], json.loads(row[-2] or "{}")) for row in found["plans"]] == [
        ("team", 1, "", *plan, None, then, Decimal("9.99"), "", "", "", 0, 0, None, None, "", None, None, {}),
        ("team", 2, "calls", *plan, *second, "API calls", "Public", "as_metered", 1000, 0, None, None, "per_unit",
         Decimal("0.000000001"), 1000, price),
        ("team", 2, "users", *plan, *second, "", "", "as_metered", 0, 0, None, 50, "graduated", None, None,
         {"model": "graduated", "tiers": [{"up_to": "100", "unit_price": "0.5", "flat": "0"}, {**TIERS[1]}]}),
    ]  # fmt: skip
    assert found["tenant_plans"] == [("a/c~me", "", then, None, 1), ("a/c~me", "team", first, then, 1)]
    page = Path(__file__).parents[2] / "docs" / "plans.md"
    (sql,) = re.findall(r"```sql\n(.*?)```", page.read_text(), re.DOTALL)
    assert tables.rows(sql.replace("now()", "toDateTime('2026-11-20', 'UTC')")) == [
        ("a/c~me", "team", "", None, None, "")
    ]
    put(feed, PLAN.model_copy(update={"versions": PLAN.versions[:1]}))
    put(feed, TENANT_PLAN.model_copy(update={"spans": TENANT_PLAN.spans[:1]}))
    drained(feed)
    found = shown(tables)
    assert [row[1:3] for row in found["plans"]] == [(1, "")]
    assert found["tenant_plans"] == [("a/c~me", "team", first, None, 1)]
    for entry in (PLAN, TENANT_PLAN):
        delete(feed, entry)
    drained(feed)
    assert (shown(tables)["plans"], shown(tables)["tenant_plans"]) == ([], [])


def test_secrets_of_webhooks_do_not_come_into_any_table(feed: Feed, sinks: Sinks, tables: Tables) -> None:
    put(feed, WEBHOOK)
    put(feed, THRESHOLD)
    sinks.start("one")
    drained(feed)
    for (name,) in tables.rows(f"SELECT name FROM system.tables WHERE database = '{tables.settings.database}'"):
        for row in tables.rows(f"SELECT * FROM {name}"):
            assert SECRET not in repr(row)
            assert "a@b.at" not in repr(row), "nor whom a threshold tells"
    assert SECRET not in sinks.log("one")


def test_what_is_deleted_goes_and_a_deleted_metric_stays_as_retired(feed: Feed, sinks: Sinks, tables: Tables) -> None:
    for entry in (METRIC, OWN, FOR_ALL, THRESHOLD, TENANT):
        put(feed, entry)
    for entry in (METRIC, OWN, THRESHOLD, TENANT):
        delete(feed, entry)
    feed.record(CONFIG, 0, None, b"metric/gone")  # its definition was compacted away
    sinks.start("one")
    drained(feed)
    metrics = tables.rows("SELECT key, name, aggregation, retired FROM metrics ORDER BY key")
    assert metrics == [("calls", "Calls", "avg", 1), ("gone", "", "", 1)]
    found = shown(tables)
    assert [row[:2] for row in found["quotas"]] == [("", "calls")]
    assert (found["thresholds"], found["tenants"]) == ([], [])
    put(feed, METRIC.model_copy(update={"name": "Calls again"}))
    put(feed, TENANT)
    drained(feed)
    assert tables.rows("SELECT name, retired FROM metrics WHERE key = 'calls'") == [("Calls again", 0)]
    assert len(shown(tables)["tenants"]) == 1


def test_a_record_that_cannot_be_read_is_passed_over_with_one_line(feed: Feed, sinks: Sinks, tables: Tables) -> None:
    bad = [
        feed.record(CONFIG, 0, b"{", b"metric/a"),
        feed.record(CONFIG, 0, b'{"key":"b","color":"green"}', b"metric/b"),
        feed.record(CONFIG, 0, b"{}", b"plan/b"),
        feed.record(CONFIG, 0, b"{}", None),
        feed.record(CONFIG, 0, b"{}", b"\xff"),
        feed.record(CONFIG, 0, None, b"quota/calls"),
        feed.record(CONFIG, 0, b"[" * 100_000, b"tenant/b"),
    ]
    odd = feed.record(NOTIFICATIONS, 1, b"\xff")
    put(feed, METRIC)
    sinks.start("one")
    drained(feed)
    assert [row[0] for row in tables.rows("SELECT key FROM metrics")] == ["calls"]
    passed = [line for line in sinks.log("one").splitlines() if "is passed over" in line]
    assert len(passed) == len(bad) + 1
    for offset in bad:
        assert sum(f"meterline.config[0] offset {offset} is passed over: " in line for line in passed) == 1
    assert any(f"meterline.notifications[1] offset {odd} is passed over: " in line for line in passed)
    assert "Traceback" not in sinks.log("one")


def test_every_type_of_notification_has_its_columns(feed: Feed, sinks: Sinks, tables: Tables) -> None:
    told = [
        crossed(80),
        crossed(90, period_end=LAST),
        notification(
            Type.BILLING_THRESHOLD_EXCEEDED,
            AT,
            "acme",
            BillingThresholdExceeded(
                companyId="acme",
                metric="orders",
                currentUsage=msgspec.Raw(b"10000.5"),
                threshold=msgspec.Raw(b"10000"),
                estimatedCost=msgspec.Raw(b"1.25"),
                thresholdId="t2",
                percent=msgspec.Raw(b"100"),
            ),
            ("b",),
        ),
        notification(Type.METRIC_DEFINED, AT, "", MetricChanged(metric={"key": "calls"}), ("m",)),
        notification(
            Type.USAGE_AGGREGATED,
            AT,
            "",
            UsageAggregated(period_type="daily", period_start=AT, period_end=AT, totals=2, differences=[]),
            ("u",),
        ),
    ]
    for each in told:
        feed.record(NOTIFICATIONS, 1, each.encode())
    later = {
        "id": "x",
        "type": "invoice.paid",
        "timestamp": "2026-11-01T00:00:00Z",
        "tenant_id": "t",
        "data": {"step": [1], "subject": 7},
    }
    feed.record(NOTIFICATIONS, 1, json.dumps(later).encode())  # of a newer version
    sinks.start("one")
    drained(feed)
    rows = tables.rows(
        "SELECT type, tenant_id, threshold_id, metric, subject, usage, `limit`, percent, step, "
        "toString(period_start), toString(period_end), JSONExtractString(data, 'action') "
        "FROM notifications FINAL ORDER BY kafka_offset"
    )
    month, next_month = "2026-11-01 00:00:00.000", "2026-12-01 00:00:00.000"
    used = Decimal("10000.5")
    alert = ("threshold.approaching", "acme", "t1", "calls", "user:1", Decimal("80.5"), 100, Decimal("80.5"))
    at = "2026-11-01 12:30:00.123"
    assert rows == [
        (*alert, 80, month, next_month, "alert"),
        (*alert, 90, month, None, "alert"),
        ("billing.threshold_exceeded", "acme", "t2", "orders", "", used, 10000, None, 100, None, None, ""),
        ("metric.defined", "", "", "calls", "", None, None, None, None, None, None, ""),
        ("usage.aggregated", "", "", "", "", None, None, None, None, at, at, ""),
        ("invoice.paid", "t", "", "", "", None, None, None, None, None, None, ""),
    ]  # fmt: skip


def test_what_is_told_again_is_one_row_and_the_first(feed: Feed, sinks: Sinks, tables: Tables) -> None:
    first = feed.record(NOTIFICATIONS, 1, crossed(80).encode())
    feed.record(NOTIFICATIONS, 1, crossed(80, AT.replace(month=12)).encode())  # another partition of the table
    feed.record(NOTIFICATIONS, 1, crossed(100).encode())
    sinks.start("one", METERLINE_SINK_FLUSH_BYTES="1")
    drained(feed)
    rows = tables.rows("SELECT step, kafka_offset FROM notifications FINAL ORDER BY step")
    assert rows[0] == (80, first)
    assert len(rows) == 2
    tables.command("OPTIMIZE TABLE notifications FINAL")
    assert tables.rows("SELECT step, kafka_offset FROM notifications FINAL ORDER BY step") == rows


@pytest.mark.parametrize("step", ["before_insert", "after_insert", "after_commit"])
def test_dying_at_any_step_leaves_the_same_tables(feed: Feed, sinks: Sinks, tables: Tables, step: str) -> None:
    lines = events(3, 300)
    written = checkpoints(lines, 40)
    half = len(written) // 2
    feed.write(written[:half])
    put(feed, METRIC)
    put(feed, OWN)
    feed.record(NOTIFICATIONS, 2, crossed(80).encode())
    sinks.start("one", METERLINE_SINK_CRASH=step)
    assert sinks.exit_code("one") == -signal.SIGKILL
    delete(feed, OWN)
    delete(feed, METRIC)
    feed.record(NOTIFICATIONS, 2, crossed(100).encode())
    feed.write(written[half:])
    sinks.start("one", METERLINE_SINK_CRASH=step, METERLINE_SINK_FLUSH_BYTES="1")
    assert sinks.exit_code("one") == -signal.SIGKILL
    put(feed, TENANT)
    sinks.start("one")
    drained(feed)
    check(tables, lines)
    found = shown(tables)
    assert [(row[0], row[1], row[10]) for row in found["metrics"]] == [("calls", "Calls", 1)]
    assert found["quotas"] == []
    assert [row[0] for row in found["tenants"]] == [TENANT.id]
    assert sorted(row[10] for row in found["notifications"]) == [80, 100]


def test_rows_replace_each_other_in_whatever_order_they_are_written(feed: Feed, sinks: Sinks, tables: Tables) -> None:
    chance = random.Random(5)
    for turn in range(30):
        entry = chance.choice([METRIC, OWN, FOR_ALL, THRESHOLD, TENANT, PLAN, TENANT_PLAN])
        if chance.random() < 0.4:
            delete(feed, entry)
        else:
            put(feed, entry.model_copy(update={"version": turn + 1}))
        step = chance.choice([80, 90, 100])
        feed.record(NOTIFICATIONS, step % 3, crossed(step).encode())  # what is told again is told on one partition
    sinks.start("one")
    drained(feed)
    before = shown(tables)
    assert sinks.stop("one") == 0
    feed.forget_group()
    sinks.start("one", METERLINE_SINK_FLUSH_BYTES="1", METERLINE_SINK_FLUSH_SECONDS="0.01")
    drained(feed)
    assert shown(tables) == before


def test_partitions_are_dealt_by_topic_and_a_second_sink_changes_nothing(
    feed: Feed, sinks: Sinks, tables: Tables
) -> None:
    sinks.start("one", METERLINE_SINK_WORKER_ID="")
    sinks.start("two", METERLINE_SINK_WORKER_ID="")

    def shared() -> bool:
        return sorted(sinks.health(name)[1].get("partitions", 0) for name in ("one", "two")) == [4, 16]

    # four topics of three partitions give two and one each; the eight of one go to one
    wait_until(shared, SECONDS, "both have partitions")
    lines = events(5, 400)
    feed.write(checkpoints(lines, 40))
    put(feed, METRIC)
    for partition in range(3):
        feed.record(NOTIFICATIONS, partition, crossed(80 + partition).encode())
    drained(feed)
    check(tables, lines)
    found = shown(tables)
    assert (len(found["metrics"]), len(found["notifications"])) == (1, 3)
