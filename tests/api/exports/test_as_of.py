"""Usage as of a moment: computed from the events that had come by then, and the same whatever comes later."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from meterline_schemas.settings import ClickHouseSettings
from meterline_sinks.clickhouse import ClickHouse
from tests.api.exports.lines import FORMATS, instant
from tests.api.exports.site import ELSEWHERE, LINES, get, insert, ok, spare
from tests.api.process import ApiProcess
from tests.services.clickhouse import execute

START = ELSEWHERE - timedelta(days=20)
RANGE = {"from": instant(START), "to": instant(START + timedelta(days=2))}
AS_OF = "meterline-as-of"


def judged(settings: ClickHouseSettings, offset: int, partitions: int = 3) -> None:
    """Everything before this offset is in ClickHouse, on each partition."""
    edge = ClickHouse(settings, settings.database)
    for topic in ("usage.accepted", "usage.rejected", "usage.totals"):
        for partition in range(partitions):
            row = {"topic": topic, "kafka_partition": partition, "next_offset": offset, "lines": offset}
            edge.insert("usage_progress", json.dumps(row).encode())
    edge.close()


@pytest.fixture
def progress(database: ClickHouseSettings) -> Iterator[ClickHouseSettings]:
    yield database
    execute(database, f"TRUNCATE TABLE {database.database}.usage_progress")


def test_usage_of_the_events_is_that_of_the_totals(api: ApiProcess, progress: ClickHouseSettings) -> None:
    judged(progress, max(line.offset for line in LINES) + 1, max(line.partition for line in LINES) + 1)
    for window in ("hour", "day", "month"):
        totals = ok(get(api, "usage", window=window, format="ndjson"))
        by_events = get(api, "usage", window=window, format="ndjson", as_of="2100-01-01T00:00:00Z")
        assert ok(by_events) == totals
        assert totals.count(b"\n") > 3
        page = get(api, "usage", window=window, format="ndjson", as_of="2100-01-01T00:00:00Z", limit=300)
        found = [ok(page)]
        while "next" in page.links:
            page = api.client.get(page.links["next"]["url"])
            found.append(ok(page))
        assert b"".join(found) == totals


@pytest.mark.parametrize("format", FORMATS)
def test_what_comes_later_is_in_a_later_pull_only(api: ApiProcess, progress: ClickHouseSettings, format: str) -> None:
    start = START + timedelta(hours=2 * FORMATS.index(format))
    query = {"from": instant(start), "to": instant(start + timedelta(hours=2)), "window": "hour", "format": format}
    insert(progress, [spare(start, number, offset=number, id=f"{format}-{number}") for number in range(3)])
    assert "spare" not in str(ok(get(api, "usage", **query, as_of="2100-01-01T00:00:00Z")))
    judged(progress, 3)
    first = get(api, "usage", **query, as_of="2100-01-01T00:00:00Z")
    late = replace(spare(start, 61, offset=3, id=f"{format}-late"), late=True)
    insert(progress, [late])
    assert ok(get(api, "usage", **query, as_of="2100-01-01T00:00:00Z")) == ok(first)  # it is not judged yet
    judged(progress, 4)
    assert ok(get(api, "usage", **query, as_of=first.headers[AS_OF])) == ok(first)
    now = get(api, "usage", **query, as_of="2100-01-01T00:00:00Z")
    assert ok(now) != ok(first)
    assert ok(get(api, "usage", **query, as_of=instant(late.received_at))) == ok(first)
    changed = get(api, "usage", **{**query, "format": "json"}, since=first.headers[AS_OF])
    (row,) = changed.json()["data"]
    assert (row["from"], row["count"], row["last_id"]) == (instant(start + timedelta(hours=1)), 1, late.id)
    assert get(api, "usage", **{**query, "format": "json"}, since=changed.headers[AS_OF]).json()["data"] == []


@pytest.mark.parametrize("moment", ["soon", "2026-11-01T00:00:00Z~kgGhaZA", "2026-11-01T00:00:00Z~"])
def test_what_is_no_moment_is_said_in_a_sentence(api: ApiProcess, moment: str) -> None:
    for name in ("as_of", "since"):
        answer = get(api, "usage", **{**RANGE, name: moment})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
        assert answer.json()["detail"].startswith(name)
