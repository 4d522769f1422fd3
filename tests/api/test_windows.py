"""Windows: each instant in exactly one, in every zone; and each as periods of quotas have it."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from meterline_api.usage.ranges import range_of
from meterline_api.usage.windows import MAX_WINDOWS, TooManyWindowsError, Window, Zone, before, cut, whole_hours
from meterline_schemas.periods import Calendar, Period

ZONES = (
    "UTC", "America/New_York", "Europe/Vienna", "Australia/Lord_Howe", "Asia/Kolkata", "Africa/Casablanca",
    "America/St_Johns", "America/Sao_Paulo", "Pacific/Apia", "Asia/Kathmandu", "America/Caracas", "Etc/GMT+12",
)  # fmt: skip
PERIODS = {
    Window.HOUR: Period.HOURLY, Window.DAY: Period.DAILY, Window.MONTH: Period.MONTHLY, Window.BILLING: Period.BILLING,
}  # fmt: skip
_DAY = 24 * 3600
starts = st.integers(0, 4_290_000_000)
lengths = st.one_of(st.integers(1, 3600), st.integers(1, 3 * _DAY), st.integers(_DAY, 400 * _DAY))
zones = st.builds(Zone, st.sampled_from(ZONES), st.integers(1, 31))
windows = st.none() | st.sampled_from(Window)


def at(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)


def second(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


@settings(deadline=None)
@given(windows, zones, starts, lengths)
@example(Window.DAY, Zone("Pacific/Apia"), second("2011-12-28T00:00Z"), 5 * _DAY)  # the 30th was left out
@example(Window.DAY, Zone("America/Sao_Paulo"), second("2018-11-02T00:00Z"), 5 * _DAY)  # a day without its midnight
@example(Window.WEEK, Zone(), 0, 1)
@example(Window.BILLING, Zone("America/New_York", 31), 0, 90 * _DAY)
def test_windows_cover_the_range_once(window: Window | None, zone: Zone, start: int, length: int) -> None:
    if window in (Window.MINUTE, Window.HOUR):
        length = min(length, 3 * _DAY if window is Window.MINUTE else 30 * _DAY)
    whole = cut(window, zone, start, start + length)
    bounds = [whole.bounds(place) for place in range(len(whole.edges) - 1)]
    assert bounds[0][0] == start
    assert bounds[-1][1] == start + length
    assert all(first < last for first, last in bounds)
    assert all(one[1] == other[0] for one, other in pairwise(bounds))
    expanded = [first + step * n for first, step, count in whole.runs for n in range(count)]
    assert expanded == list(whole.edges)
    for place, (first, last) in enumerate(bounds[:3]):
        assert whole.place(first) == whole.place(last - 1) == place
        assert [whole.after(first).bounds(n) for n in range(len(bounds) - place)] == bounds[place:]
    earlier = before(window, zone, whole)
    assert len(earlier.edges) == len(whole.edges)
    assert list(earlier.edges[1:]) == list(whole.edges[:-1])
    assert earlier.end == max(whole.edges[-2], 0)
    if window in PERIODS:
        calendar = Calendar(PERIODS[window], zone.name, zone.anchor if window is Window.BILLING else 1)
        middle = (start + start + length) // 2
        found = calendar.bounds(at(middle))
        place = whole.place(middle)
        assert found == (at(whole.edges[place]), at(whole.edges[place + 1]))


@settings(deadline=None)
@given(st.sampled_from(ZONES), starts, st.integers(1, 60 * _DAY))
def test_a_week_begins_on_monday(zone: str, start: int, length: int) -> None:
    whole = cut(Window.WEEK, Zone(zone), start, start + length)
    days = cut(Window.DAY, Zone(zone), max(whole.edges[0], 0), whole.edges[-1])
    assert set(whole.edges) - {whole.edges[0]} <= set(days.edges)
    assert all(4 * _DAY <= last - first <= 8 * _DAY for first, last in pairwise(whole.edges))


def test_a_range_of_years_has_days_of_every_zone_and_not_more_than_can_be_worked_out() -> None:
    start = second("2000-01-01T00:00Z")
    assert len(cut(Window.DAY, Zone("Europe/Vienna"), start, start + (MAX_WINDOWS - 2) * _DAY).runs) < 120
    with pytest.raises(TooManyWindowsError, match="more than 10,000 windows of a day"):
        cut(Window.DAY, Zone("Europe/Vienna"), 0, (MAX_WINDOWS + 2) * _DAY)
    assert len(cut(Window.MINUTE, Zone("Europe/Vienna"), 0, 2**32 - 4).edges) > 70_000_000  # a range, not a list
    assert len(cut(Window.HOUR, Zone("Europe/Vienna"), 400 * _DAY, 2**32 - 4).edges) > 1_000_000


@pytest.mark.parametrize(
    ("zone", "day", "whole"),
    [
        ("UTC", "2026-01-01", True),
        ("Europe/Vienna", "2026-03-29", True),
        ("Asia/Kolkata", "2026-01-01", False),
        ("Australia/Lord_Howe", "2026-01-01", True),
        ("Australia/Lord_Howe", "2026-04-04", False),
        ("Australia/Lord_Howe", "2026-06-01", False),
        ("America/Caracas", "2015-06-01", False),
        ("America/Caracas", "2026-06-01", True),
    ],
)
def test_whether_a_zones_hours_are_those_of_utc_depends_on_when(zone: str, day: str, whole: bool) -> None:
    start = second(f"{day}T00:00Z")
    assert whole_hours(zone, start, start + 2 * _DAY) is whole


def test_by_default_a_range_begins_with_the_month_of_its_zone() -> None:
    now = datetime(2026, 10, 31, 22, 59, 59, 999_999, tzinfo=UTC)
    assert range_of(None, None, now) == (at(second("2026-10-01T00:00Z")), at(second("2026-10-31T23:00Z")))
    # the first hour in UTC is the last of October there
    assert range_of(None, None, now, zone="Europe/Vienna")[0] == at(second("2026-09-30T22:00Z"))
    assert range_of(None, None, now, zone="Asia/Kolkata")[0] == at(second("2026-10-31T18:30Z"))
