"""The page for analysts: its dictionary is what the database says of itself, and its queries give what they promise.

``METERLINE_TEST_WRITE_DOCS=1`` writes the dictionary anew.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.sinks.conftest import Tables
from tests.sinks.usage import Event, answers, checkpoints, events, standing, window

PAGE = Path(__file__).parents[2] / "docs" / "analysts.md"
FIRST = ["usage_hourly", "usage_daily", "usage_monthly", "usage_events", "rejected_events", "usage_freshness"]
BELOW = ["usage_parts", "usage_events_raw", "usage_totals", "usage_progress", "schema_migrations"]
LINES = events(21, 1500)


def recipes() -> list[tuple[str, str]]:
    """Each query of the page with the heading that it stands under, a second one of a heading as ``… (2)``."""
    found: list[tuple[str, str]] = []
    for section in PAGE.read_text().split("\n### ")[1:]:
        title = section.split("\n", 1)[0]
        for number, sql in enumerate(re.findall(r"```sql\n(.*?)```", section, re.DOTALL), 1):
            found.append((title if number == 1 else f"{title} ({number})", sql))
    return found


RECIPES = recipes()


def dictionary(tables: Tables) -> str:
    database = tables.settings.database
    parts = []
    for name in FIRST + BELOW:
        ((comment,),) = tables.rows(
            f"SELECT comment FROM system.tables WHERE database = '{database}' AND name = '{name}'"
        )
        columns = tables.rows(
            "SELECT name, type, comment FROM system.columns "
            f"WHERE database = '{database}' AND table = '{name}' ORDER BY position"
        )
        rows = "\n".join(f"| `{column}` | `{kind}` | {text} |" for column, kind, text in columns)
        parts.append(f"### `{name}`\n\n{comment}.\n\n| column | type | meaning |\n|---|---|---|\n{rows}\n")
    return "## Data dictionary\n\n" + "\n".join(parts)


def test_the_dictionary_is_what_the_database_says_of_itself(tables: Tables) -> None:
    page = PAGE.read_text()
    expected = dictionary(tables)
    if os.environ.get("METERLINE_TEST_WRITE_DOCS"):
        page = page[: page.index("## Data dictionary")] + expected
        PAGE.write_text(page)
    assert page[page.index("## Data dictionary") :] == expected


@pytest.fixture
def filled(tables: Tables) -> Tables:
    written = checkpoints(LINES, 40)
    tables.insert("usage_events_raw", [line for checkpoint in written for line in checkpoint.accepted])
    tables.insert("usage_totals", [value for checkpoint in written for _, value in checkpoint.totals])
    tables.insert("rejected_events", [line for checkpoint in written for line in checkpoint.rejected])
    for topic in ("accepted", "rejected", "totals"):
        rows = [b'{"topic": "usage.%s",%s' % (topic.encode(), c.progress[1:]) for c in written]
        tables.insert("usage_progress", rows)
    return tables


@pytest.mark.parametrize(("title", "sql"), RECIPES, ids=[title for title, _ in RECIPES])
def test_each_recipe_answers(filled: Tables, title: str, sql: str) -> None:
    rows = filled.rows(sql)
    assert rows
    check = CHECKS.get(title)
    if check is not None:
        check(rows)
    # the analyst reads everything with FINAL
    assert filled.rows(sql.rstrip() + "\nSETTINGS final = 1") == rows


def test_every_query_of_the_page_is_tried_and_every_check_has_one() -> None:
    assert len(RECIPES) == PAGE.read_text().count("```sql")
    assert set(CHECKS) <= {title for title, _ in RECIPES}


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
    assert {(row[0], row[1], str(row[2])): row[3] for row in rows} == {key: len(group) for key, group in groups.items()}


def berlin(rows: list[tuple[Any, ...]]) -> None:
    zone_days("Europe/Berlin", rows)


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
    assert [row[:2] for row in rows] == [
        (region, sum(1 for event in calls if event.offset % 2 == parity)) for parity, region in enumerate(("eu", "us"))
    ]


def late_events(rows: list[tuple[Any, ...]]) -> None:
    assert sum(row[1] for row in rows) == sum(1 for event in standing(LINES) if event.late)


def no_differences(rows: list[tuple[Any, ...]]) -> None:
    assert rows == [(0,)]


def rejected(rows: list[tuple[Any, ...]]) -> None:
    assert sum(row[2] for row in rows) == sum(len(checkpoint.rejected) for checkpoint in checkpoints(LINES, 40))


def averages(rows: list[tuple[Any, ...]]) -> None:
    for metric, _average, median, _p95 in rows:
        quantities = sorted(event.quantity for event in standing(LINES) if event.metric == metric)
        assert median == Decimal(quantities[len(quantities) // 2])


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
    "What was rejected, by reason": rejected,
    "The totals against the events themselves": no_differences,
    "Average and percentiles of single events": averages,
}
