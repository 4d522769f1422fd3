"""Which meters the catalog takes."""

from __future__ import annotations

from typing import Any

import pytest

from meterline_schemas.catalog import Book, Entry, Metric, RefusedError, StripeMeter, changes


def meter(metric: str = "orders", **more: Any) -> StripeMeter:
    return StripeMeter.model_validate({"metric": metric, "meter": f"mtr_{metric}", "event_name": metric, **more})


def book(*entries: Entry) -> Book:
    found = Book()
    for each in (Metric(key="orders"), Metric(key="calls"), *entries):
        assert found.apply(each.record_key, each.encode()) is None
    return found


def test_a_meter_is_read_as_it_was_written() -> None:
    one = meter(scale=3, prices={"pro": "price_1"})
    assert book(one).find(StripeMeter, "orders") == one


@pytest.mark.parametrize(
    ("entries", "wanted", "why"),
    [
        ([], meter("users"), "is not defined"),
        ([Metric.model_validate({"key": "peak", "aggregation": "max"})], meter("peak"), "do not add up"),
        ([meter("calls")], meter(meter="mtr_calls"), "is the meter of 'calls'"),
        ([meter()], meter(scale=2), "would mean something else"),
        ([meter()], meter(included="overage_only"), "would mean something else"),
    ],
)
def test_a_meter_that_would_mix_or_change_numbers_is_refused(
    entries: list[Entry], wanted: StripeMeter, why: str
) -> None:
    with pytest.raises(RefusedError, match=why):
        changes.check(book(*entries), wanted)


def test_another_meter_may_have_another_scale_and_prices_may_change() -> None:
    changes.check(book(meter()), meter(scale=2, meter="mtr_new"))
    changes.check(book(meter()), meter(prices={"pro": "price_2"}))
