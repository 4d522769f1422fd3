"""Periods cover each instant once, whatever clocks do; calendars survive being text."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from meterline_schemas.periods import FIRST, LAST, Calendar, Period

# clocks that leap at midnight, by half an hour, over a whole day, back over midnight, or stand off by 45 minutes
ZONES = (
    "UTC", "Europe/Vienna", "America/New_York", "America/Sao_Paulo", "America/Havana", "Asia/Beirut", "Asia/Kolkata",
    "Asia/Kathmandu", "Asia/Pyongyang", "Australia/Lord_Howe", "America/St_Johns", "America/Caracas", "Pacific/Apia",
    "Africa/Cairo", "America/Asuncion", "Pacific/Chatham",
)  # fmt: skip

calendars = st.one_of(
    st.builds(Calendar, st.sampled_from([Period.HOURLY, Period.DAILY, Period.MONTHLY]), st.sampled_from(ZONES)),
    st.builds(Calendar, st.just(Period.BILLING), st.sampled_from(ZONES), st.integers(1, 31)),
)
seconds = st.integers(
    int(datetime(2000, 1, 1, tzinfo=UTC).timestamp()), int(datetime(2040, 1, 1, tzinfo=UTC).timestamp())
)
instants = st.builds(
    lambda at, part: datetime.fromtimestamp(at, UTC) + part,
    seconds,
    st.timedeltas(timedelta(0), timedelta(microseconds=999_999)),
)
LONGEST = {
    Period.HOURLY: timedelta(hours=1),
    Period.DAILY: timedelta(hours=25),
    Period.MONTHLY: timedelta(days=31, hours=1),
    Period.BILLING: timedelta(days=31, hours=1),
}


@given(calendars, instants)
@example(Calendar(Period.HOURLY, "Australia/Lord_Howe"), datetime(2026, 10, 3, 15, 20, tzinfo=UTC))
@example(Calendar(Period.HOURLY, "Australia/Lord_Howe"), datetime(2026, 10, 3, 15, 40, tzinfo=UTC))
@example(Calendar(Period.HOURLY, "Australia/Lord_Howe"), datetime(2026, 4, 4, 15, 10, tzinfo=UTC))
@example(Calendar(Period.DAILY, "America/St_Johns"), datetime(2010, 11, 7, 3, 10, tzinfo=UTC))
@example(Calendar(Period.MONTHLY, "America/St_Johns"), datetime(2009, 11, 1, 2, 45, tzinfo=UTC))
@example(Calendar(Period.DAILY, "Pacific/Apia"), datetime(2011, 12, 30, 10, 0, tzinfo=UTC))
def test_each_instant_lies_in_exactly_one_period_and_periods_abut(calendar: Calendar, instant: datetime) -> None:
    start, end = calendar.bounds(instant)
    assert start <= instant < end
    assert end - start <= LONGEST[calendar.period]
    assert calendar.bounds(start) == calendar.bounds(end - timedelta(microseconds=1)) == (start, end)
    assert calendar.bounds(end)[0] == end
    assert calendar.bounds(start - timedelta(microseconds=1))[1] == start


@given(calendars, instants, st.sampled_from(ZONES))
def test_the_zone_that_an_instant_is_written_in_makes_no_difference(
    calendar: Calendar, instant: datetime, zone: str
) -> None:
    assert calendar.bounds(instant.astimezone(ZoneInfo(zone))) == calendar.bounds(instant)


@given(st.sampled_from(ZONES), st.integers(1, 31), st.integers(2000, 2039), st.integers(1, 12))
def test_a_billing_month_begins_on_its_day_or_the_last_there_is(zone: str, anchor: int, year: int, month: int) -> None:
    last = monthrange(year, month)[1]
    noon = datetime(year, month, min(anchor, last), 12, tzinfo=ZoneInfo(zone))
    start = Calendar(Period.BILLING, zone, anchor).bounds(noon)[0].astimezone(ZoneInfo(zone))
    assert (start.year, start.month, start.day) == (year, month, min(anchor, last))


@pytest.mark.parametrize(
    ("calendar", "instant", "start", "end"),
    [
        (Calendar(Period.HOURLY), "2026-11-21T10:59:59.999", "2026-11-21T10:00", "2026-11-21T11:00"),
        (Calendar(Period.HOURLY, "Asia/Kolkata"), "2026-11-21T10:15", "2026-11-21T09:30", "2026-11-21T10:30"),
        (Calendar(Period.DAILY, "Europe/Vienna"), "2026-10-25T12:00", "2026-10-24T22:00", "2026-10-25T23:00"),
        (Calendar(Period.DAILY, "Europe/Vienna"), "2026-03-29T12:00", "2026-03-28T23:00", "2026-03-29T22:00"),
        (Calendar(Period.DAILY, "America/Havana"), "2026-03-08T12:00", "2026-03-08T05:00", "2026-03-09T04:00"),
        (Calendar(Period.MONTHLY, "Europe/Vienna"), "2026-10-31T23:30", "2026-10-31T23:00", "2026-11-30T23:00"),
        (Calendar(Period.BILLING, "UTC", 31), "2026-02-28T00:00", "2026-02-28T00:00", "2026-03-31T00:00"),
        (Calendar(Period.BILLING, "UTC", 30), "2028-02-28T23:59", "2028-01-30T00:00", "2028-02-29T00:00"),
        (Calendar(Period.BILLING, "UTC", 29), "2026-02-28T00:00", "2026-02-28T00:00", "2026-03-29T00:00"),
    ],
)
def test_periods_by_hand(calendar: Calendar, instant: str, start: str, end: str) -> None:
    found = calendar.bounds(datetime.fromisoformat(instant).replace(tzinfo=UTC))
    assert found == (
        datetime.fromisoformat(start).replace(tzinfo=UTC),
        datetime.fromisoformat(end).replace(tzinfo=UTC),
    )


@given(instants)
def test_what_never_begins_anew_is_one_period(instant: datetime) -> None:
    assert Calendar(Period.NEVER, "Asia/Kolkata").bounds(instant) == (FIRST, LAST)


@given(st.one_of(calendars, st.just(Calendar(Period.NEVER))))
def test_a_calendar_is_read_back_from_its_text(calendar: Calendar) -> None:
    assert Calendar.parse(str(calendar)) == calendar


@pytest.mark.parametrize(
    "text",
    ["", "weekly", "Monthly", "monthly UTC", "monthly@3", "billing", "billing@0", "billing@32", "billing@x",
     "billing@01", "never Asia/Kolkata", " monthly", "monthly "],
)  # fmt: skip
def test_another_text_is_no_calendar(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - an enumeration's own words will do
        Calendar.parse(text)
