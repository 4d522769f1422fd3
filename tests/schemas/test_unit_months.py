"""GB-hours as GB-months."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterline_schemas.quantity import NANO, format_nano
from meterline_schemas.rating import unit_months

HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("month", "following", "zone", "hours"),
    [
        ((2026, 11), (2026, 12), "UTC", 720),
        ((2026, 2), (2026, 3), "UTC", 672),
        ((2028, 2), (2028, 3), "UTC", 696),
        ((2026, 3), (2026, 4), "Europe/Vienna", 743),
        ((2026, 10), (2026, 11), "Europe/Vienna", 745),
    ],
)
def test_what_is_held_all_month_is_once_the_unit_however_long_the_month_is(
    month: tuple[int, int], following: tuple[int, int], zone: str, hours: int
) -> None:
    start, end = (datetime(*which, 1, tzinfo=ZoneInfo(zone)) for which in (month, following))
    assert unit_months(45 * hours * NANO, start, end) == 45 * NANO


def test_who_deletes_in_the_middle_of_the_month_pays_less_from_then_on() -> None:
    start, end = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)
    deleted = datetime(2026, 11, 16, 3, tzinfo=UTC)
    unit_hours = 80 * int((deleted - start) / HOUR) + 20 * int((end - deleted) / HOUR)
    assert unit_hours == 36_180
    assert format_nano(unit_months(unit_hours * NANO, start, end)) == "50.25"


@given(st.integers(0, 10**30), st.integers(1, 800))
def test_it_is_the_nearest_with_nine_decimals(unit_hours: int, hours: int) -> None:
    start = datetime(2026, 11, 1, tzinfo=UTC)
    assert unit_months(unit_hours, start, start + timedelta(hours=hours)) == round(Fraction(unit_hours, hours))
