"""Rows of revenue: the page names their columns, and places come back as they were."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterline_api.billing.revenue.months import begin_of, month_of, read_month, write_month
from meterline_api.billing.revenue.store import Revenue
from meterline_api.billing.revenue.table import COLUMNS, EXAMPLE, read_cursor, row_of, write_cursor
from meterline_api.opaque import opaque

PAGE = Path(__file__).parents[4] / "docs" / "revenue.md"
MONTHS = st.integers(1970 * 12, 2200 * 12 - 1)
NAMES = st.text(st.characters(codec="utf-8"), max_size=9)
ZERO = Decimal(0)


def revenue(tenant: str = "", metric: str = "", month: int = 2026 * 12, total: str = "1", was: str = "") -> Revenue:
    previous = Decimal(was) if was else None
    return Revenue(tenant, metric, "EUR", month, Decimal(total), ZERO, ZERO, ZERO, ZERO, Decimal(total), previous)


def test_the_page_tells_of_every_column_and_rows_have_them() -> None:
    page = PAGE.read_text()
    for column in COLUMNS:
        assert f"| `{column.name}` | {column.about} |" in page
    names = [column.name for column in COLUMNS]
    assert list(EXAMPLE) == list(row_of(revenue())) == names


@pytest.mark.parametrize(
    ("total", "was", "growth"),
    [
        ("110", "100", "10.0"),
        ("50", "-100", "150.0"),
        ("0.01", "0.03", "-66.7"),
        ("9", "0", None),
        ("9", "", None),
        ("0", "9", "-100.0"),
    ],
)
def test_growth_is_of_the_month_before_and_missing_where_that_was_nothing(
    total: str, was: str, growth: str | None
) -> None:
    assert row_of(revenue(total=total, was=was))["growth"] == growth


@given(NAMES, NAMES, MONTHS)
def test_a_cursor_gives_the_place_of_its_row(tenant: str, metric: str, month: int) -> None:
    assert read_cursor(write_cursor(revenue(tenant, metric, month))) == (tenant, metric, "EUR", month)


@given(st.text(max_size=30))
def test_any_other_text_is_no_cursor(text: str) -> None:
    assert read_cursor(text) is None
    assert read_cursor(opaque(f'["a","b","EUR",{10**20}]')) is None


@given(MONTHS)
def test_a_month_is_written_and_read_and_begins_in_itself(month: int) -> None:
    assert read_month(write_month(month)) == month == month_of(begin_of(month))
