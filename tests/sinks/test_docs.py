"""The pages for analysts: the dictionary is what the database says of itself, and the queries give what they promise.

``METERLINE_TEST_WRITE_DOCS=1`` writes the dictionary anew, and records columns that are new in stable tables.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, localcontext
from fractions import Fraction
from importlib.resources import files
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pyarrow.parquet
import pytest
from msgspec.structs import replace

from meterline_schemas.billing.cost import DayCost, DayCosts
from meterline_schemas.billing.cost import encode as encode_costs
from meterline_schemas.billing.invoice import DocumentKind, Invoice, LineKind, read_invoice
from meterline_schemas.billing.invoice import encode as encode_invoice
from meterline_schemas.catalog import Aggregation, Metric, Quota
from meterline_schemas.notification import ThresholdCrossed, Type, notification
from meterline_schemas.periods import Period
from meterline_sinks.cost_rows import cost_row
from meterline_sinks.invoice_rows import invoice_row
from meterline_sinks.migrate import migrate
from meterline_sinks.rows import catalog_row, notification_row
from tests.services.clickhouse import ClickHouseServer
from tests.sinks.conftest import Tables
from tests.sinks.usage import START, Event, answers, checkpoints, events, fold, standing, window
from tests.support.invoices import invoice

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "sql-cookbook.md"
DICTIONARY = DOCS / "data-dictionary.md"
STABLE = Path(__file__).parent / "stable_columns.json"
FIRST = ["usage_hourly", "usage_daily", "usage_monthly", "usage_events", "rejected_events", "usage_freshness"]
FIRST += [
    "metrics",
    "quotas",
    "thresholds",
    "tenants",
    "plans",
    "tenant_plans",
    "invoices",
    "invoice_lines",
    "usage_days",
    "daily_costs",
    "stripe_pushes",
    "stripe_items",
    "billing_runs",
    "notifications",
]
LINES = events(21, 1500)
METRICS = [
    Metric(key="calls", name="Calls", unit="call"),
    Metric(key="storage", name="Storage", unit="GB", aggregation=Aggregation.MAX),
]
GENERAL = Quota(metric="calls", included=Decimal(50))
MOST = max(
    (answer[1], key[0]) for key, answer in answers(LINES, "month").items() if key[1:] == ("calls", "2026-10-01")
)[1]
OWN = Quota(metric="calls", tenant_id=MOST, included=Decimal(5), price_per_unit=Decimal("0.05"), currency="EUR")
SUBJECTS = Quota(metric="calls", tenant_id="tenant-2", subject="user:1", included=Decimal(1))
DAILY = Quota(metric="calls", tenant_id="tenant-3", included=Decimal(1), period=Period.DAILY)
STORAGE = Quota(metric="storage", included=Decimal(0))


def alert(tenant_id: str, step: int) -> bytes:
    data = ThresholdCrossed(
        threshold_id="t", tenant_id=tenant_id, metric="calls", subject="", usage=str(step), limit="100",
        percent=f"{step}.25", step=str(step), action="alert", period="monthly", period_start=START, period_end=START,
    )  # fmt: skip
    kind = Type.THRESHOLD_EXCEEDED if step >= 100 else Type.THRESHOLD_APPROACHING
    return notification(kind, START, tenant_id, data, (tenant_id, str(step))).encode()


ALERTS = [alert("tenant-1", 50), alert("tenant-1", 80), alert("tenant-1", 100), alert("tenant-2", 80)]


def recipes() -> list[tuple[str, str]]:
    """Each query of the page with the heading that it stands under, a second one of a heading as ``… (2)``."""
    found: list[tuple[str, str]] = []
    for section in PAGE.read_text().split("\n## ")[1:]:
        title = section.split("\n", 1)[0]
        for number, sql in enumerate(re.findall(r"```sql\n(.*?)```", section, re.DOTALL), 1):
            found.append((title if number == 1 else f"{title} ({number})", sql))
    return found


RECIPES = recipes()


HEAD = """# Data dictionary

Every table and view of the database, its columns, their types and meaning, as ClickHouse itself says it (the comments
in `system.tables` and `system.columns`; a tool for reports shows them too). Times are UTC. A quantity is in the unit of
its metric (`metrics.unit`); amounts of money are in units of the currency that stands beside them, not in cents.

**Stable** ones keep their columns' names, types and meanings, as [promised](analysts.md#what-stays). **Internal** ones
stand below them; they are listed so that nothing is hidden, and can change with every version.
"""


def described(tables: Tables, name: str) -> str:
    database = tables.settings.database
    ((comment,),) = tables.rows(f"SELECT comment FROM system.tables WHERE database = '{database}' AND name = '{name}'")
    columns = tables.rows(
        "SELECT name, type, comment FROM system.columns "
        f"WHERE database = '{database}' AND table = '{name}' ORDER BY position"
    )
    assert comment, f"{name} has no comment"
    assert all(text for _column, _kind, text in columns), f"a column of {name} has no comment"
    rows = "\n".join(f"| `{column}` | `{kind}` | {text} |" for column, kind, text in columns)
    return f"### `{name}`\n\n{comment}.\n\n| column | type | meaning |\n|---|---|---|\n{rows}\n"


def dictionary(tables: Tables) -> str:
    names = [
        str(name)
        for (name,) in tables.rows(
            f"SELECT name FROM system.tables WHERE database = '{tables.settings.database}' ORDER BY name"
        )
    ]
    below = [name for name in names if name not in FIRST]
    parts = [HEAD, "## Stable\n", *(described(tables, name) for name in FIRST)]
    return "\n".join([*parts, "## Internal\n", *(described(tables, name) for name in below)])


def writes() -> bool:
    return bool(os.environ.get("METERLINE_TEST_WRITE_DOCS"))


def test_the_dictionary_is_what_the_database_says_of_itself(tables: Tables) -> None:
    expected = dictionary(tables)
    if writes():
        DICTIONARY.write_text(expected)
    assert DICTIONARY.read_text() == expected


def test_columns_that_were_promised_are_there_with_their_types_and_new_ones_are_recorded(tables: Tables) -> None:
    found: dict[str, dict[str, str]] = {}
    for table, column, kind in tables.rows(
        f"SELECT table, name, type FROM system.columns WHERE database = '{tables.settings.database}' "
        "ORDER BY table, position"
    ):
        if table in FIRST:
            found.setdefault(str(table), {})[str(column)] = str(kind)
    promised: dict[str, dict[str, str]] = json.loads(STABLE.read_text()) if STABLE.exists() else {}
    for table, columns in promised.items():
        missing = {name: kind for name, kind in columns.items() if found.get(table, {}).get(name) != kind}
        assert not missing, f"saved queries rely on these columns of {table}"
    if writes():
        STABLE.write_text(json.dumps(found, indent=2) + "\n")
    assert json.loads(STABLE.read_text()) == found, "record new columns with METERLINE_TEST_WRITE_DOCS=1"


def test_the_analyst_is_granted_what_is_stable_and_nothing_else() -> None:
    text = files("meterline_sinks").joinpath("sql", "analyst.sql").read_text(encoding="utf-8")
    assert sorted(re.findall(r"GRANT .* SELECT ON \$\{database\}\.(\w+) TO", text)) == sorted(FIRST)
    assert text.count("GRANT ") == len(FIRST)


@pytest.fixture(scope="module")
def filled(clickhouse_server: ClickHouseServer) -> Iterator[Tables]:
    clickhouse_server.restore()
    settings = clickhouse_server.settings("cookbook")
    migrate(settings, cluster="")
    tables = Tables(settings)
    written = checkpoints(LINES, 40)
    tables.insert("usage_events_raw", [line for checkpoint in written for line in checkpoint.accepted])
    tables.insert("usage_totals", [value for checkpoint in written for _, value in checkpoint.totals])
    tables.insert("rejected_events", [line for checkpoint in written for line in checkpoint.rejected])
    for topic in ("accepted", "rejected", "totals"):
        rows = [b'{"topic": "usage.%s",%s' % (topic.encode(), c.progress[1:]) for c in written]
        tables.insert("usage_progress", rows)
    for turn, entry in enumerate([GENERAL, STORAGE, *METRICS, OWN, SUBJECTS, DAILY, GENERAL]):
        table, row = catalog_row(turn, entry.record_key, entry.encode()) or ("", b"")
        tables.insert(table, [row])
    for turn, costs in enumerate(day_costs()):
        table, row = cost_row(turn, encode_costs(costs))
        tables.insert(table, [row])
    for turn, document in enumerate(documents()):
        table, row = invoice_row(turn, document.key, encode_invoice(document))
        tables.insert(table, [row])
    for turn, value in enumerate([*ALERTS, *ALERTS[:2]]):
        table, row = notification_row(0, turn, value)
        tables.insert(table, [row])
    yield tables
    tables.command(f"DROP DATABASE {settings.database}")
    tables.close()


@pytest.mark.parametrize(("title", "sql"), RECIPES, ids=[title for title, _ in RECIPES])
def test_each_recipe_answers(filled: Tables, title: str, sql: str) -> None:
    if "FORMAT Parquet" in sql:
        parquet(filled, sql)
        return
    rows = filled.rows(sql)
    assert rows
    CHECKS[title](rows)
    # the analyst reads everything with FINAL
    assert filled.rows(sql.rstrip() + "\nSETTINGS final = 1") == rows


def test_every_query_of_the_page_is_tried_and_every_check_has_one() -> None:
    assert len(RECIPES) == PAGE.read_text().count("```sql")
    assert set(CHECKS) == {title for title, sql in RECIPES if "FORMAT Parquet" not in sql}


def parquet(tables: Tables, sql: str) -> None:
    settings = tables.settings
    answer = httpx.post(
        settings.url,
        params={"database": settings.database},
        content=sql,
        auth=(settings.analyst_user, settings.analyst_password.get_secret_value()),
        timeout=60,
    )
    found = pyarrow.parquet.read_table(io.BytesIO(answer.content)).to_pydict()
    expected = [
        (key[0].encode(), key[1].encode(), date.fromisoformat(key[2]), answer[0], answer[1])
        for key, answer in sorted(answers(LINES, "day").items())
        if key[2] < "2026-11-01"
    ]
    rows = zip(*(found[name] for name in ("tenant_id", "metric", "day", "count", "sum")), strict=True)
    assert [(text(row[0]), text(row[1]), *row[2:]) for row in rows] == [
        (text(row[0]), text(row[1]), *row[2:]) for row in expected
    ]


def text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def days_of_one_tenant(rows: list[tuple[Any, ...]]) -> None:
    expected = [
        (metric, day, answer[0], answer[1])
        for (tenant, metric, day), answer in sorted(answers(LINES, "day").items())
        if tenant == "tenant-1" and day < "2026-11-01"
    ]
    assert [(row[0], str(row[1]), *row[2:]) for row in rows] == expected


def top_tenants(rows: list[tuple[Any, ...]]) -> None:
    october = {
        tenant: answer[1]
        for (tenant, metric, month), answer in answers(LINES, "month").items()
        if metric == "calls" and month == "2026-10-01"
    }
    assert [row[1] for row in rows] == sorted(october.values(), reverse=True)[:10]
    assert all(october[tenant] == amount for tenant, amount in rows)


def month_over_month(rows: list[tuple[Any, ...]]) -> None:
    months = answers(LINES, "month")
    assert len(rows) == len(months)
    for tenant, metric, month, used, before, change in rows:
        assert used == months[tenant, metric, str(month)][1]
        if str(month) == "2026-11-01" and (tenant, metric, "2026-10-01") in months:
            assert before == months[tenant, metric, "2026-10-01"][1]
        with localcontext() as context:
            context.prec = 100
            assert change == used - before


def zone_days(zone: str, rows: list[tuple[Any, ...]]) -> None:
    groups: dict[tuple[str, str, str], list[Event]] = {}
    for event in standing(LINES):
        key = (event.tenant_id, event.metric, window(event.timestamp.astimezone(ZoneInfo(zone)), "day"))
        groups.setdefault(key, []).append(event)
    counted = {key: (len(group), fold(group)[1]) for key, group in groups.items()}
    assert {(row[0], row[1], str(row[2])): row[3:5] for row in rows} == counted


def berlin(rows: list[tuple[Any, ...]]) -> None:
    zone_days("Europe/Berlin", rows)
    assert all(row[5] is not None for row in rows)


def kolkata(rows: list[tuple[Any, ...]]) -> None:
    zone_days("Asia/Kolkata", rows)


def all_hours(rows: list[tuple[Any, ...]]) -> None:
    expected = dict.fromkeys(range(24), 0)
    for (tenant, _metric, hour), answer in answers(LINES, "hour").items():
        if tenant == "tenant-1" and hour.startswith("2026-10-30"):
            expected[int(hour[11:13])] += answer[0]
    assert [row[1] for row in rows] == list(expected.values())


def distinct_users(rows: list[tuple[Any, ...]]) -> None:
    users: dict[tuple[str, str], set[int]] = {}
    for event in standing(LINES):
        users.setdefault((event.tenant_id, window(event.timestamp, "month")), set()).add(event.offset % 7)
    assert {(row[0], str(row[1])): row[2] for row in rows} == {key: len(found) for key, found in users.items()}


def by_region(rows: list[tuple[Any, ...]]) -> None:
    calls = [event for event in standing(LINES) if event.metric == "calls"]
    halves = [[event for event in calls if event.offset % 2 == parity] for parity in (0, 1)]
    assert rows == [(region, len(half), fold(half)[1]) for region, half in zip(("eu", "us"), halves, strict=True)]


def late_events(rows: list[tuple[Any, ...]]) -> None:
    groups: dict[str, list[Event]] = {}
    for event in standing(LINES):
        if event.late:
            groups.setdefault(event.tenant_id, []).append(event)
    expected = []
    for tenant, group in sorted(groups.items()):
        waits = [
            (START + timedelta(days=4, milliseconds=event.offset)).replace(minute=0, second=0, microsecond=0)
            - event.timestamp.replace(minute=0, second=0, microsecond=0)
            for event in group
        ]
        expected.append((tenant, len(group), fold(group)[1], max(waits) // timedelta(hours=1)))
    assert rows == expected


def no_differences(rows: list[tuple[Any, ...]]) -> None:
    assert rows == [(0,)]


def rejected(rows: list[tuple[Any, ...]]) -> None:
    lines = sum(len(checkpoint.rejected) for checkpoint in checkpoints(LINES, 40))
    day, reason = str(START.date()), "duplicate"
    assert [(str(row[0]), *row[1:]) for row in rows] == [(day, reason, lines, "the same id came before")]


def weeks(rows: list[tuple[Any, ...]]) -> None:
    groups: dict[tuple[str, str, int, int], list[Event]] = {}
    for event in standing(LINES):
        year, week, _weekday = event.timestamp.isocalendar()
        groups.setdefault((event.tenant_id, event.metric, year, week), []).append(event)
    expected = []
    for key, group in sorted(groups.items()):
        answer = fold(group)
        expected.append((*key, date.fromisocalendar(key[2], key[3], 1), answer[0], answer[1], answer[3]))
    assert rows == expected


def test_weeks_are_those_of_iso_over_the_ends_of_years(filled: Tables) -> None:
    first = date(2019, 12, 1)
    for number, year, week, monday in filled.rows(
        "SELECT number, toISOYear(day), toISOWeek(day), toStartOfWeek(day, 1) FROM "
        "(SELECT number, toDate('2019-12-01') + number AS day FROM numbers(2600))"
    ):
        day = first + timedelta(days=number)
        assert (year, week, monday) == (*day.isocalendar()[:2], day - timedelta(days=day.weekday()))


def parts_of_hours(rows: list[tuple[Any, ...]]) -> None:
    hours = {key[2]: answer for key, answer in answers(LINES, "hour").items() if key[:2] == ("tenant-1", "calls")}
    groups: dict[tuple[str, str], list[Event]] = {}
    for event in standing(LINES):
        if (event.tenant_id, event.metric) == ("tenant-1", "calls"):
            region = ("eu", "us")[event.offset % 2]
            groups.setdefault((window(event.timestamp, "hour"), region), []).append(event)
    assert [(f"{row[0]:%Y-%m-%d %H:%M:%S}", *row[1:]) for row in rows] == [
        (hour, region, len(group), fold(group)[1], hours[hour][1], 1)
        for (hour, region), group in sorted(groups.items())
    ]


def exact_sums(rows: list[tuple[Any, ...]]) -> None:
    groups: dict[str, list[Event]] = {}
    for event in standing(LINES):
        if event.metric == "calls" and abs(event.quantity) < 10**9:
            groups.setdefault(event.tenant_id, []).append(event)
    assert [row[0] for row in rows] == sorted(groups)
    for tenant, total, cost in rows:
        exact = fold(groups[tenant])[1]
        assert Decimal(total) == exact
        assert abs(Fraction(cost) - Fraction(exact) / 20) <= Fraction(1, 200)
        assert cost == round(cost, 2)


def costs_of_days(rows: list[tuple[Any, ...]]) -> None:
    days = [date(2026, 10, 1), date(2026, 10, 31)]
    fee, calls = round(Fraction(1, 3), 2), round(Fraction(14, 3), 2)
    assert [(*row[:3], Fraction(row[3])) for row in rows] == [
        found for day in days for found in ((day, "base fee", "EUR", fee), (day, "calls", "EUR", calls))
    ]


def day_costs() -> Iterator[DayCosts]:
    """Of days in October and one behind it; the first is written twice, and its second row stands."""
    third = Decimal("0.333333333333333333")
    for tenant, day, part in (
        ("tenant-1", date(2026, 10, 1), Decimal(9)),
        ("tenant-1", date(2026, 10, 1), third),
        ("tenant-1", date(2026, 10, 31), third),
        ("tenant-1", date(2026, 11, 1), third),
        ("tenant-2", date(2026, 10, 1), third),
    ):
        fee = DayCost(LineKind.BASE_FEE, "p", "EUR", START, START, part)
        calls = [
            DayCost(LineKind.USAGE, plan, "EUR", START, START, part * times, "calls", "call", Decimal(times))
            for plan, times in (("p", 10), ("q", 4))
        ]
        yield DayCosts(tenant, day, (fee, *calls), START)


def complete(rows: list[tuple[Any, ...]]) -> None:
    last = {checkpoint.partition: json.loads(checkpoint.progress) for checkpoint in checkpoints(LINES, 40)}
    ((until, latest, accepted, refused),) = rows
    assert f"{until:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z" == min(each["received_until"] for each in last.values())
    assert f"{latest:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z" == max(each["latest_timestamp"] for each in last.values())
    assert (accepted, refused) == tuple(sum(each[name] for each in last.values()) for name in ("accepted", "rejected"))


def documents() -> list[Invoice]:
    """Of October, of which the second is taken back, and of November."""
    first, second, third = (read_invoice(invoice(f"tenant-{number}", f"INV-{number}")[1]) for number in (1, 2, 3))
    october = {"start": datetime(2026, 10, 1, tzinfo=UTC), "end": first.start, "issued_at": first.start}
    first, second = replace(first, **october), replace(second, **october)
    note = replace(second, number="CN-1", kind=DocumentKind.CREDIT_NOTE, of=second.number, issued_at=third.end)
    return [first, second, third, note]


def closed_days(rows: list[tuple[Any, ...]]) -> None:
    used = {(tenant, date.fromisoformat(day)) for tenant, _metric, day in answers(LINES, "day")}
    last = {checkpoint.partition: json.loads(checkpoint.progress) for checkpoint in checkpoints(LINES, 40)}
    until = min(datetime.fromisoformat(each["received_until"]) for each in last.values())
    october = {date(2026, 10, 1) + number * timedelta(days=1) for number in range(31)}
    november = {date(2026, 11, 1) + number * timedelta(days=1) for number in range(30)}
    states = {("tenant-1", day): ("closed", "2026-11-01", ["INV-1"]) for day in october}
    states |= {("tenant-2", day): ("void", "2026-11-01", ["INV-2"]) for day in october}
    states |= {("tenant-3", day): ("closed", "2026-12-01", ["INV-3"]) for day in november}
    assert [(*row[:3], row[3] and f"{row[3]:%Y-%m-%d}", *row[4:]) for row in rows] == [
        (
            *key,
            *states.get(key, ("open", None, [])),
            int(datetime.combine(key[1] + timedelta(days=1), time(), UTC) <= until),
        )
        for key in sorted(used | states.keys())
    ]
    assert {row[-1] for row in rows} == {0, 1}


def origins(rows: list[tuple[Any, ...]]) -> None:
    found = [
        event
        for event in sorted(standing(LINES), key=lambda event: (event.timestamp, event.id))
        if (event.tenant_id, event.metric, window(event.timestamp, "day")) == ("tenant-1", "calls", "2026-10-30")
    ]
    assert [(row[0], row[2], row[3], *row[5:]) for row in rows] == [
        (event.id, event.quantity, int(event.late), event.partition, event.offset, 0) for event in found
    ]


def regions(rows: list[tuple[Any, ...]]) -> None:
    found: dict[tuple[str, str], set[int]] = {}
    for event in standing(LINES):
        if event.metric == "calls":
            found.setdefault((event.tenant_id, window(event.timestamp, "month")), set()).add(event.offset % 2)
    assert {(row[0], str(row[1])): row[2] for row in rows} == {key: len(each) for key, each in found.items()}


def averages(rows: list[tuple[Any, ...]]) -> None:
    assert [row[0] for row in rows] == ["calls", "storage"]
    for metric, average, _sorted, median, p95 in rows:
        quantities = sorted(Fraction(event.quantity) for event in standing(LINES) if event.metric == metric)
        exact = sum(quantities, Fraction(0)) / len(quantities)
        assert abs(Fraction(average) - exact) < Fraction(1, 10**9)
        for answer, percent in ((median, 50), (p95, 95)):
            rank = math.ceil(Fraction(percent, 100) * len(quantities))
            assert answer == quantities[rank - 1]


def gauges(rows: list[tuple[Any, ...]]) -> None:
    first, last = datetime(2026, 10, 30, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
    expected: dict[str, Fraction] = {}
    readings: dict[tuple[str, int], list[Event]] = {}
    for event in sorted(standing(LINES), key=lambda event: (event.timestamp, event.id)):
        if event.metric == "storage" and event.timestamp < last:
            readings.setdefault((event.tenant_id, event.offset % 7), []).append(event)
    for (tenant, _subject), gauge in readings.items():
        for event, until in zip(gauge, [*(later.timestamp for later in gauge[1:]), last], strict=True):
            held = max(until - max(event.timestamp, first), timedelta()) // timedelta(milliseconds=1)
            expected[tenant] = expected.get(tenant, Fraction(0)) + Fraction(event.quantity) * held / 3_600_000
    assert [row[0] for row in rows] == sorted(expected)
    assert all(abs(Fraction(hours) - expected[tenant]) < Fraction(1, 10**9) for tenant, hours in rows)


def named_days(rows: list[tuple[Any, ...]]) -> None:
    names = {metric.key: (metric.name, metric.unit) for metric in METRICS}
    expected = {
        (tenant, day, names[metric][0]): (answer[1], names[metric][1])
        for (tenant, metric, day), answer in answers(LINES, "day").items()
        if day < "2026-11-01" and day >= "2026-10-30"
    }
    assert {(row[0], str(row[1]), row[2]): row[3:] for row in rows} == expected


def quotas_of_a_month(rows: list[tuple[Any, ...]]) -> None:
    october = {key[:2]: answer for key, answer in answers(LINES, "month").items() if key[2] == "2026-10-01"}
    expected = {}
    with localcontext() as context:
        context.prec = 100
        for (tenant, metric), answer in october.items():
            used = answer[1] if metric == "calls" else answer[3]
            quota = {"calls": OWN if tenant == MOST else GENERAL, "storage": STORAGE}[metric]
            over = max(used - quota.included, Decimal(0))
            amount = None if quota.price_per_unit is None else over * quota.price_per_unit
            if (tenant, metric) != ("tenant-3", "calls"):  # its own quota is one of days
                expected[tenant, metric] = (used, quota.included, over, amount, quota.currency or "")
    assert {row[:2]: (row[2], row[3], *row[5:]) for row in rows} == expected
    assert any(row[6] for row in rows)


def alerts(rows: list[tuple[Any, ...]]) -> None:
    assert [row[:6] for row in rows] == [
        ("tenant-1", "calls", "", 2, 1, Decimal("100.25")),
        ("tenant-2", "calls", "", 1, 0, Decimal("80.25")),
    ]


CHECKS: dict[str, Callable[[list[tuple[Any, ...]]], None]] = {
    "Usage of one tenant by day": days_of_one_tenant,
    "The tenants that used most in a month": top_tenants,
    "Month over month": month_over_month,
    "Days of another time zone": berlin,
    "Days of another time zone (2)": kolkata,
    "Every hour of a day, the empty ones too": all_hours,
    "Distinct users": distinct_users,
    "By a property": by_region,
    "Events that came late": late_events,
    "What was rejected, by reason over time": rejected,
    "ISO weeks": weeks,
    "From an hour to what it is made of": parts_of_hours,
    "Sums that stay exact": exact_sums,
    "What days cost": costs_of_days,
    "Is it complete": complete,
    "Which days are closed": closed_days,
    "Where a number comes from": origins,
    "The totals against the events themselves": no_differences,
    "Average and percentiles of single events": averages,
    "How many different values a property has": regions,
    "What a gauge held over time": gauges,
    "Usage with the name and unit of the metric": named_days,
    "Usage against quotas of a month": quotas_of_a_month,
    "Alerts of each tenant": alerts,
}
