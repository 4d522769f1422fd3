"""The dashboard's texts and picture from values alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterline_api.document4.dashboard.board import Board, Names, board_of
from meterline_api.document4.dashboard.chart import HEIGHT, TOP, WIDTH, bars_of
from meterline_api.document4.dashboard.days import DAYS, Day, Week
from meterline_api.document4.dashboard.html import as_html
from meterline_api.document4.dashboard.links import links_of
from meterline_api.document4.forms import Line, Summary, analytics
from meterline_api.document4.names import METRICS
from meterline_api.documents.costs import Cost
from meterline_schemas.billing.invoice import Status
from tests.api.billing.rendering import samples
from tests.api.dashboard.page import number, percent, read, refers_outwards

START: Final = datetime(2025, 1, 1, tzinfo=UTC)
END: Final = datetime(2025, 2, 1, tzinfo=UTC)
NOW: Final = datetime(2025, 1, 22, 10, 30, tzinfo=UTC)
ALERT: Final = "<script>alert(1)</script>"
EXAMPLE: Final = {"order": "125.00", "invoice": "49.00", "storage": "45.00", "api_call": "0.50", "ai_job": "60.00"}
COUNTS: Final = {"order": "1250", "invoice": "980", "storage": "45", "api_call": "50000", "ai_job": "120"}
AMOUNTS: Final = st.integers(-(10**12), 10**15).map(lambda cents: Decimal(cents) / 100)


def line(count: str, amount: str | None, unit: str = "", currency: str = "USD") -> Line:
    price = (None, None) if amount is None else (Decimal(amount), currency)
    return Line(Decimal(count), unit, Cost(Decimal(count), None, Decimal(0), None, *price))


def summary(start: datetime = START, end: datetime = END, unit: str = "GB", **more: Any) -> Summary:
    lines = {key: line(COUNTS[key], EXAMPLE[key], unit if key == "storage" else key) for key in METRICS}
    whole: dict[str, Any] = {"plan": "lab", "base_fee": Decimal("199.00"), "plan_currency": "USD", **more}
    return Summary("optical-labs", start, end, **{"lines": lines, **whole})


def week(*counts: Decimal) -> Week:
    midnight = NOW.replace(hour=0, minute=0)
    values = counts or tuple(map(Decimal, (40, 52, 61, 44, 30, 0, 48)))
    starts = [midnight - timedelta(days=DAYS - 1 - place) for place in range(DAYS)]
    days = (Day(at, at + timedelta(days=1), dict.fromkeys(METRICS, n)) for at, n in zip(starts, values, strict=True))
    return Week("UTC", tuple(days))


def board(current: Summary, last: Summary | None = None, projected: str = "478.50", **names: Any) -> Board:
    before = last or summary(datetime(2024, 12, 1, tzinfo=UTC), START)
    return board_of(current, before, Decimal(projected), week(), NOW, Names(**names))


def test_the_example_of_document_4_as_it_is_drawn() -> None:
    found = board(summary(), projected="478.50", company="Optical Labs Inc.")
    assert (found.period, found.projected) == (("Current month", "January 2025"), "$478.50 USD")
    assert [(each.title, each.count, each.cost) for each in found.cards] == [
        ("Orders", "1,250", "$125.00 USD"),
        ("Invoices", "980", "$49.00 USD"),
        ("Storage", "45 GB", "$45.00 USD"),
        ("API Calls", "50,000", "$0.50 USD"),
        ("AI Jobs", "120", "$60.00 USD"),
    ]
    rows = [(each.name, each.amount) for each in found.breakdown if not each.part]
    assert rows == [("Base fee", "$199.00 USD"), ("Metered usage", "$279.50 USD")]
    assert found.total == "$478.50 USD"
    assert [each.short for each in found.days] == ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]
    assert found.nothing == found.nothing_in_days == ""


@given(
    st.lists(AMOUNTS | st.none(), min_size=5, max_size=5),
    AMOUNTS,
    st.dictionaries(st.text("abc", min_size=1, max_size=3), AMOUNTS, max_size=3),
)
def test_the_breakdown_adds_up_to_the_total_to_the_cent(
    amounts: list[Decimal | None], fee: Decimal, others: dict[str, Decimal]
) -> None:
    lines = {
        key: line("1", None if amount is None else str(amount)) for key, amount in zip(METRICS, amounts, strict=True)
    }
    found = board(summary(lines=lines, base_fee=fee, others=others))
    base, usage, *parts = found.breakdown
    assert not base.part
    assert not usage.part
    assert all(each.part for each in parts)
    assert number(usage.amount) == sum(number(each.amount) for each in parts)
    assert number(found.total) == number(base.amount) + number(usage.amount)
    priced = [amount for amount in amounts if amount is not None]
    assert number(found.total) == sum(priced) + fee + sum(others.values())
    assert [card.cost == "no price" for card in found.cards] == [amount is None for amount in amounts]


@pytest.mark.parametrize(
    ("before", "wanted"),
    [("1000", "▲ +25%"), ("1281", "▼ -2.42%"), ("1250", " 0%"), ("-1250", "▲ +200%")],
)
def test_a_trend_has_its_sign_and_its_arrow(before: str, wanted: str) -> None:
    last = summary(datetime(2024, 12, 1, tzinfo=UTC), START)
    lines = {**last.lines, "order": line(before, "1")}
    change = board(summary(), summary(last.start, START, lines=lines)).cards[0].change
    assert f"{change.arrow} {change.text}" == f"{wanted} vs last month"
    assert percent(f"{change.arrow} {change.text}".strip()) == Decimal(wanted.strip("▲▼ %"))


def test_costs_in_another_currency_are_not_held_against_each_other() -> None:
    euros = {key: line("1", "1", currency="EUR") for key in METRICS}
    last = summary(datetime(2024, 12, 1, tzinfo=UTC), START, lines=euros, plan_currency="EUR")
    assert board(summary(), last).projected_change.text == "nothing to compare with in the last month"
    assert analytics(summary(), last, Decimal(1))["trend"]["cost"] is None


@pytest.mark.parametrize(
    ("start", "end", "zone", "wanted"),
    [
        (START, END, "UTC", ("Current month", "January 2025")),
        (START - timedelta(hours=1), END - timedelta(hours=1), "Europe/Vienna", ("Current month", "January 2025")),
        (START, END, "Asia/Kolkata", ("Current month", "January 2025")),  # a zone without whole hours: those of UTC
        (
            START + timedelta(days=14),
            END + timedelta(days=14),
            "UTC",
            ("Current period", "15 January 2025 – 14 February 2025 (UTC)"),
        ),
    ],
)
def test_a_period_is_called_by_its_month_or_its_days(
    start: datetime, end: datetime, zone: str, wanted: tuple[str, str]
) -> None:
    found = board(summary(start, end), zone=zone)
    assert found.period == wanted
    assert wanted[0].rpartition(" ")[2] in found.cards[0].change.text


def test_what_somebody_named_stays_text() -> None:
    current = summary(others={"visits": Decimal("3.30")}, unit=ALERT)
    page = as_html(board(current, company=ALERT, metrics={"visits": ALERT}, links=links_of(current, None)))
    root = read(page)
    assert refers_outwards(root) == []
    assert root.all("p", "name")[0].text == ALERT
    assert [each.text for each in root.one("table", "breakdown").all("th")][-2] == ALERT
    assert root.all("p", "count")[2].text == f"45 {ALERT}"
    assert page.count(b"<script") == 0


def test_nothing_used_is_said() -> None:
    none = {key: line("0", None) for key in METRICS}
    empty = summary(lines=none, plan=None, base_fee=Decimal(0), plan_currency=None)
    zeros = week(*[Decimal(0)] * DAYS)
    root = read(as_html(board_of(empty, empty, Decimal(0), zeros, NOW, Names())))
    assert [each.text for each in root.all("p", "empty")] == [
        "There is no usage of these metrics in this month yet.",
        "There is no usage of these metrics in the last 7 days.",
    ]
    assert root.all("svg") == []
    assert {each.text for each in root.all("p", "cost")} == {"no price"}
    assert "There is no base fee" in root.one("footer").text


def test_a_mean_level_is_shown_to_three_decimals_unless_nothing_would_be_left() -> None:
    for level, wanted in (("45.123456789", "45.123 GB"), ("0.000000007", "0.000000007 GB"), ("0", "0 GB")):
        lines = {**summary().lines, "storage": line(level, "1", "GB")}
        assert board(summary(lines=lines)).cards[2].count == wanted
    lines = {**summary().lines, "order": line("0.000000007", "1")}
    assert board(summary(lines=lines)).cards[0].count == "0.000000007"


@given(st.lists(st.integers(-(10**26), 10**26), min_size=DAYS, max_size=DAYS))
def test_bars_are_as_high_as_their_values_and_within_the_picture(nano: list[int]) -> None:
    values = [Decimal(each) / 10**9 for each in nano]
    found = bars_of(values)
    reach = max(*values, Decimal(0)) - min(*values, Decimal(0))
    zero = Decimal(found.zero)
    for place, (bar, value) in enumerate(zip(found.bars, values, strict=True)):
        top, height = Decimal(bar.y), Decimal(bar.height)
        wanted = abs(value) * HEIGHT / reach if reach else Decimal(0)
        assert abs(height - wanted) <= (Decimal("1.51") if value else 0)
        assert abs((top + height if value >= 0 else top) - zero) <= Decimal("0.02")
        assert TOP - Decimal("1.6") <= top
        assert top + height <= TOP + HEIGHT + Decimal("1.6")
        assert (
            place * WIDTH / DAYS <= Decimal(bar.x) < Decimal(bar.x) + Decimal(bar.width) <= (place + 1) * WIDTH / DAYS
        )


def test_a_link_to_an_invoice_is_there_where_there_is_one_that_holds() -> None:
    invoice = samples.invoice(number="2025/000042")
    names = [(each.name, each.address) for each in links_of(summary(), invoice)]
    assert names[1] == ("Download invoice 2025/000042", "/v1/invoices/2025%2F000042?format=pdf")
    for none in (None, samples.draft(), samples.invoice(status=Status.VOID)):
        assert [each.name for each in links_of(summary(), none)] == ["View detailed report"]
    late = links_of(summary(START - timedelta(minutes=330), END - timedelta(minutes=330)), None)[0].address
    assert "from=2024-12-31T18%3A00%3A00%2B00%3A00&to=2025-01-31T19%3A00%3A00%2B00%3A00" in late
