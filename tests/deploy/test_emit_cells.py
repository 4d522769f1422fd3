"""Cells of a table as times and quantities."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from meterline_deploy.emit.row import quantity_of
from meterline_deploy.emit.times import TimeError, read_time
from meterline_schemas.reading import InvalidLine


@pytest.mark.parametrize(
    ("text", "zone", "epoch", "instant"),
    [
        ("2026-11-01T10:00:00.123456789Z", None, None, datetime(2026, 11, 1, 10, 0, 0, 123456, tzinfo=UTC)),
        ("2026-11-01 10:00:00 UTC", None, None, datetime(2026, 11, 1, 10, tzinfo=UTC)),
        (" 2026-11-01T10:00+0230 ", None, None, datetime(2026, 11, 1, 7, 30, tzinfo=UTC)),
        ("2026-07-01 10:00", "Europe/Vienna", None, datetime(2026, 7, 1, 8, tzinfo=UTC)),
        ("2026-11-01", "Europe/Vienna", None, datetime(2026, 10, 31, 23, tzinfo=UTC)),
        ("2026-10-25 02:30:00", "Europe/Vienna", None, datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),
        ("1793527200", None, "s", datetime(2026, 11, 1, 10, tzinfo=UTC)),
        ("1793527200.5", None, "s", datetime(2026, 11, 1, 10, 0, 0, 500_000, tzinfo=UTC)),
        ("1793527200123", None, "ms", datetime(2026, 11, 1, 10, 0, 0, 123_000, tzinfo=UTC)),
        ("1793527200123456", None, "us", datetime(2026, 11, 1, 10, 0, 0, 123_456, tzinfo=UTC)),
        ("1793527200123456789", None, "ns", datetime(2026, 11, 1, 10, 0, 0, 123_456, tzinfo=UTC)),
    ],
)
def test_times_are_read_as_files_write_them(text: str, zone: str | None, epoch: Any, instant: datetime) -> None:
    assert read_time(text, ZoneInfo(zone) if zone else None, epoch) == instant


def test_a_local_time_that_clocks_never_showed_is_refused() -> None:
    with pytest.raises(TimeError, match="does not exist in Europe/Vienna"):
        read_time("2026-03-29 02:30", ZoneInfo("Europe/Vienna"), None)
    for text in ("99999999999999999999", "abc", "1e3"):
        with pytest.raises(TimeError):
            read_time(text, None, "s")


@pytest.mark.parametrize(
    ("text", "decimals", "quantity"),
    [
        ("1.50", None, "1.5"),
        (" 7 ", None, "7"),
        ("0.125", 2, "0.12"),
        ("0.135", 2, "0.14"),
        ("2.675", 2, "2.68"),
        ("1e-07", 9, "0.0000001"),
        ("1e+17", 0, "100000000000000000"),
        ("-0.4", 0, "0"),
    ],
)
def test_quantities_are_exact_and_rounded_half_to_even_where_asked(
    text: str, decimals: int | None, quantity: str
) -> None:
    assert quantity_of(text, decimals) == quantity


@pytest.mark.parametrize("text", ["inf", "nan", "1_000", "", "1e300", "١"])
def test_rounding_makes_no_number_of_what_is_none(text: str) -> None:
    with pytest.raises(InvalidLine):
        quantity_of(text, 2)
