"""A period is cut where what a tenant pays changes, and nowhere else."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterline_api.billing.pricing.errors import UnknownPlanError
from meterline_api.billing.pricing.segments import segments, share_of
from meterline_schemas.catalog import Charge, Plan, PlanVersion, Span, TenantPlan
from meterline_schemas.catalog.price import PerUnit
from meterline_schemas.periods import Period
from tests.api.billing.pricing.choices import END, FEW, START

INSTANTS = st.datetimes(datetime(2026, 10, 20), datetime(2026, 12, 10)).map(  # noqa: DTZ001
    lambda found: found.replace(microsecond=0, tzinfo=START.tzinfo)
)


def version(start: datetime | None, price: int, fee: int = 10, description: str = "") -> PlanVersion:
    charge = Charge(metric="orders", price=PerUnit(unit_price=Decimal(price)), description=description)
    return PlanVersion(start=start, base_fee=Decimal(fee), charges=(charge,))


def plan(name: str, *versions: PlanVersion, period: Period = Period.MONTHLY) -> Plan:
    return Plan(id=name, currency="USD", period=period, versions=versions or (version(None, 1),))


def on(*spans: tuple[datetime, str | None]) -> TenantPlan:
    return TenantPlan(tenant_id="acme", spans=tuple(Span(start=start, plan=name) for start, name in spans))


def at(day: int) -> datetime:
    return START + timedelta(days=day - 1)


BEFORE = START - timedelta(days=300)


@st.composite
def histories(draw: st.DrawFn) -> tuple[TenantPlan, dict[str, Plan]]:
    plans = {}
    for name in ("a", "b"):
        starts = sorted(draw(st.sets(INSTANTS, max_size=3)))
        kinds = draw(st.lists(st.integers(1, 2), min_size=len(starts) + 1, max_size=len(starts) + 1))
        plans[name] = plan(name, *(version(*pair) for pair in zip([None, *starts], kinds, strict=True)))
    spans = [(start, draw(st.sampled_from(["a", "b", None]))) for start in sorted(draw(st.sets(INSTANTS, max_size=4)))]
    return on(*spans), plans


@FEW
@given(histories(), INSTANTS)
def test_at_every_instant_of_the_period_holds_what_the_catalog_says(
    history: tuple[TenantPlan, dict[str, Plan]], instant: datetime
) -> None:
    tenant_plan, plans = history
    found = segments(tenant_plan, plans, START, END)
    named = tenant_plan.at(instant) if START <= instant < END else None
    holding = [part for part in found if part.start <= instant < part.end]
    assert len(holding) == (named is not None)
    for part in holding:
        assert part.plan.id == named
        assert part.version.charges == plans[part.plan.id].at(instant).charges


@FEW
@given(histories())
def test_segments_follow_each_other_differ_and_share_the_period(history: tuple[TenantPlan, dict[str, Plan]]) -> None:
    found = segments(*history, START, END)
    length = END - START
    for part in found:
        assert START <= part.start < part.end <= END
        assert part.share == Fraction((part.end - part.start) / timedelta.resolution) / (length // timedelta.resolution)
    for before, after in pairwise(found):
        assert before.end <= after.start
        same = before.plan.id == after.plan.id and before.version.charges == after.version.charges
        assert before.end < after.start or not same
    assert sum(part.share for part in found) <= 1


@FEW
@given(st.sets(INSTANTS, max_size=5))
def test_cutting_the_time_on_one_plan_into_pieces_changes_nothing(cuts: set[datetime]) -> None:
    one = plan("a")
    spans = [(BEFORE, "a"), *((cut, "a") for cut in sorted(cuts))]
    versions = [version(None, 1), *(version(cut, 1, description=f"from {cut}") for cut in sorted(cuts))]
    (whole,) = segments(on((BEFORE, "a")), {"a": one}, START, END)
    assert (whole.start, whole.end, whole.share) == (START, END, Fraction(1))
    assert segments(on(*spans), {"a": one}, START, END) == (whole,)
    (found,) = segments(on(*spans), {"a": plan("a", *versions)}, START, END)
    assert (found.start, found.end, found.share) == (START, END, Fraction(1))


def test_a_tenant_on_no_plan_has_no_segment_there() -> None:
    plans = {"a": plan("a")}
    assert segments(None, plans, START, END) == ()
    assert segments(on(), plans, START, END) == ()
    found = segments(on((at(4), "a"), (at(7), None), (at(16), "a")), plans, START, END)
    assert [(part.start, part.end, part.share) for part in found] == [
        (at(4), at(7), Fraction(1, 10)),
        (at(16), END, Fraction(1, 2)),
    ]


def test_a_change_of_the_fee_or_of_a_price_cuts_and_a_change_of_words_does_not() -> None:
    changed = plan(
        "a", version(None, 1), version(at(7), 1, fee=11), version(at(10), 2, 11), version(at(13), 2, 11, "x")
    )
    found = segments(on((BEFORE, "a")), {"a": changed}, START, END)
    assert [part.start for part in found] == [START, at(7), at(10)]
    assert found[-1].version.charges[0].description == "x"


def test_another_plan_is_another_segment_even_on_the_same_terms() -> None:
    found = segments(on((BEFORE, "a"), (at(16), "b")), {"a": plan("a"), "b": plan("b")}, START, END)
    assert [part.plan.id for part in found] == ["a", "b"]


def test_plans_by_the_month_and_by_the_day_have_their_own_periods() -> None:
    plans = {"a": plan("a"), "b": plan("b", period=Period.DAILY)}
    tenant = on((BEFORE, "a"), (at(16), "b"))
    (month,) = segments(tenant, plans, START, END, Period.MONTHLY)
    assert (month.plan.id, month.end, month.share) == ("a", at(16), Fraction(1, 2))
    (day,) = segments(tenant, plans, at(16), at(17), Period.DAILY)
    assert (day.plan.id, day.share) == ("b", Fraction(1))
    assert segments(tenant, plans, at(15), at(16), Period.DAILY) == ()


def test_a_day_with_a_leap_of_the_clock_is_shared_by_its_hours() -> None:
    summer, winter = timezone(timedelta(hours=2)), timezone(timedelta(hours=1))
    day = datetime(2026, 10, 25, tzinfo=summer), datetime(2026, 10, 26, tzinfo=winter)
    (part,) = segments(on((day[0] + timedelta(hours=5), "a")), {"a": plan("a")}, *day)
    assert part.share == Fraction(20, 25)
    vienna = ZoneInfo("Europe/Vienna")
    local = datetime(2026, 10, 25, tzinfo=vienna), datetime(2026, 10, 26, tzinfo=vienna)
    assert share_of(local[0], local[0] + timedelta(hours=5), *local) == Fraction(6, 25)  # to 5 o'clock on the wall


def test_a_plan_that_is_not_there_is_named() -> None:
    with pytest.raises(UnknownPlanError, match="'acme' is on plan 'gone', which is not in the catalog: define it"):
        segments(on((BEFORE, "gone")), {}, START, END)
    assert segments(on((BEFORE, "gone"), (START, None)), {}, START, END) == ()
