"""When a feature's usage of a period is at Stripe in full, in values."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from meterline_api.billing.invoices.document import changes_of
from meterline_api.billing.pricing.bill import Bill
from meterline_api.billing.stripe.days import HOUR_MS, DayTotal
from meterline_api.document2.reported import by_items, by_meter, days_of
from meterline_schemas.billing.invoice import DocumentKind, Invoice, Line, LineKind
from meterline_schemas.catalog import StripeMeter
from meterline_schemas.quantity import NANO

START, END = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def meter(scale: int = 0) -> StripeMeter:
    return StripeMeter(metric="calls", meter="mtr_1", event_name="calls", scale=scale, prices={})


def november(day: int) -> date:
    return date(2026, 11, day)


def used(days: dict[int, str], per: int = NANO) -> list[DayTotal]:
    return [DayTotal("acme", "calls", november(day), int(Decimal(each) * per), per) for day, each in days.items()]


@pytest.mark.parametrize(
    ("days", "told", "reported"),
    [
        ({1: "5", 30: "7"}, {1: 5, 30: 7}, True),
        ({1: "5", 30: "7"}, {}, False),
        ({1: "5", 30: "7"}, {1: 5}, False),  # a day was not told
        ({1: "5", 30: "7"}, {1: 5, 30: 6}, False),  # more came
        ({1: "5"}, {1: 5, 30: 7}, False),  # Stripe has what is not used any more
        ({1: "6", 2: "6"}, {1: 5, 2: 7}, False),  # the sum is right and no day is
        ({1: "5", 2: "0"}, {1: 5}, True),
        ({1: "5", 2: "-2"}, {1: 5, 2: -2}, True),
        ({1: "5", 2: "0.5"}, {1: 5}, False),  # what has no whole value is never told
        ({}, {}, False),
    ],
)
def test_meters_have_a_period_when_each_of_its_days_is_told_as_it_is(
    days: dict[int, str], told: dict[int, int], reported: bool
) -> None:
    delivered = {november(day): value for day, value in told.items()}
    assert by_meter(START, END, used(days), delivered, meter()) is reported


def test_values_are_in_the_parts_of_the_meter_and_the_days_of_a_gauge_are_rounded_once() -> None:
    assert by_meter(START, END, used({3: "1.25"}), {november(3): 125}, meter(2))
    assert not by_meter(START, END, used({3: "1.25"}), {november(3): 125}, meter(3))
    third = [DayTotal("acme", "calls", november(3), NANO * HOUR_MS // 3, NANO * HOUR_MS)]
    assert by_meter(START, END, third, {november(3): 333_333}, meter(6))
    assert not by_meter(START, END, third, {november(3): 333_334}, meter(6))


def test_what_lies_on_other_days_does_not_matter() -> None:
    others = [DayTotal("acme", "calls", day, 9 * NANO) for day in (START.date() - DAY, END.date())]
    assert by_meter(START, END, [*used({1: "5"}), *others], {november(1): 5, date(2026, 12, 1): 4}, meter())
    assert not by_meter(START, END, others, {date(2026, 12, 1): 9}, meter()), "nothing of the period was told"


def test_of_a_period_that_begins_within_a_utc_day_all_of_that_day_counts() -> None:
    vienna = START - timedelta(hours=1), END - timedelta(hours=1)
    assert days_of(*vienna) == (date(2026, 10, 31), date(2026, 12, 1))
    assert days_of(START, END) == (november(1), date(2026, 12, 1))
    before = DayTotal("acme", "calls", date(2026, 10, 31), 2 * NANO)
    told = {november(1): 5}
    assert not by_meter(*vienna, [before, *used({1: "5"})], told, meter())
    assert by_meter(*vienna, [before, *used({1: "5"})], told | {before.day: 2}, meter())


def test_whatever_was_told_it_is_so_only_where_every_day_agrees() -> None:
    chance = random.Random(91)
    seen = set()
    for _ in range(3000):
        days = {day: chance.randrange(3) for day in chance.sample(range(1, 31), 3)}
        told = {day: value for day, value in days.items() if chance.random() < 0.9}
        if chance.random() < 0.3:
            told[chance.randrange(1, 31)] = chance.randrange(3)
        agrees = bool(told) and all(days.get(day, 0) == told.get(day, 0) for day in range(1, 31))
        delivered = {november(day): value for day, value in told.items()}
        assert by_meter(START, END, used({day: str(v) for day, v in days.items()}), delivered, meter()) is agrees
        seen.add(agrees)
    assert seen == {True, False}


def line(quantity: str, amount: str, metric: str = "calls", **more: Any) -> Line:
    found = Line(LineKind.USAGE, Decimal(amount), START, END, metric=metric, quantity=Decimal(quantity))
    return replace(found, **more)


def invoice(number: str, *lines: Line, start: datetime = START) -> Invoice:
    return Invoice(
        number=number,
        kind=DocumentKind.INVOICE,
        tenant_id="acme",
        tenant_name="",
        plan="team",
        currency="EUR",
        start=start,
        end=start + 30 * DAY,
        lines=lines,
        total=sum((each.amount for each in lines), Decimal(0)),
        issued_at=END,
    )


def now(*lines: Line) -> Bill:
    return Bill("EUR", lines, sum((each.amount for each in lines), Decimal(0)), ())


def changed(later: Sequence[Invoice], bill: Bill) -> set[str]:
    return {change.line.metric for change in changes_of(FIRST, later, bill)}


FEE = Line(LineKind.BASE_FEE, Decimal("9.90"), START, END)
FIRST = invoice("INV-1", FEE, line("5", "1.50"), line("3", "0", "free"))
NEXT = invoice("INV-2", line("2", "0.60", kind=LineKind.ADJUSTMENT, origin="INV-1"), start=END)
SAME = now(FEE, line("5", "1.50"), line("3", "0", "free"))
MORE = now(FEE, line("7", "2.10"), line("3", "0", "free"))


@pytest.mark.parametrize(
    ("metric", "there", "reported"),
    [
        ("calls", {"INV-1": {1, 2}}, True),
        ("calls", {"INV-1": {2}}, True),  # base fees may be charged otherwise
        ("calls", {"INV-1": {1}}, False),
        ("calls", {}, False),
        ("calls", {"INV-2": {1, 2}}, False),
        ("free", {"INV-1": {1}}, True),  # it comes to nothing: the invoice is there without it
        ("free", {}, False),
        ("other", {"INV-1": {1, 2}}, False),  # no line of the invoice is of it
    ],
)
def test_items_have_a_period_when_the_lines_of_its_invoice_are_there(
    metric: str, there: dict[str, set[int]], reported: bool
) -> None:
    assert by_items(metric, FIRST, (), changed((), SAME), there) is reported


def test_what_came_after_the_close_is_there_with_the_item_of_its_adjustment() -> None:
    there = {"INV-1": {1, 2}}
    assert not by_items("calls", FIRST, (), changed((), MORE), there), "no invoice has it"
    told, both = changed((NEXT,), MORE), there | {"INV-2": {1}}
    assert not by_items("calls", FIRST, (NEXT,), told, there), "the next invoice has it, and Stripe not yet"
    assert by_items("calls", FIRST, (NEXT,), told, both)
    assert by_items("free", FIRST, (NEXT,), told, there), "of this metric nothing came"
    assert not by_items("calls", FIRST, (NEXT,), changed((NEXT,), SAME), both), "Stripe has more than was used"
