"""Percents and costs, by hand."""

from __future__ import annotations

import pytest

from meterline_schemas.quantity import NANO
from meterline_schemas.rating import cost, percent, reached


@pytest.mark.parametrize(
    ("used", "limit", "shown"),
    [
        (1, 3, "33.33"),
        (-1, 3, "-33.33"),
        (2, 3, "66.66"),
        (0, 1, "0"),
        (75, 50, "150"),
        (1, 0, "100"),
        (0, 0, "0"),
        (-1, 0, "0"),
    ],
)
def test_percent_is_cut_and_not_rounded(used: int, limit: int, shown: str) -> None:
    assert percent(used * NANO, limit * NANO) == shown


def test_a_limit_of_0_is_reached_by_the_least_usage() -> None:
    assert [reached(used, 0) for used in (-1, 0, 1)] == [False, False, True]
    assert [reached(used, 5) for used in (4, 5, 6)] == [False, True, True]


def test_a_cost_is_exact() -> None:
    assert cost(25 * NANO, 50_000_000) == "1.25"
    assert cost(1, 1) == "0.000000000000000001"
    assert cost(0, 7) == "0"
