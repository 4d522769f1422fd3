"""From which day on Stripe's meters charge a tenant, as it is switched to them and away from them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from meterline_schemas.catalog import (
    Book,
    Plan,
    PlanVersion,
    RefusedError,
    Span,
    Tenant,
    TenantPlan,
    changes,
    read_entry,
)
from meterline_schemas.catalog.plan_changes import ClosedUntil
from meterline_schemas.catalog.tenant import Metering

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
DAY = timedelta(days=1)


class Written:
    """A tenant as one change after the other leaves it."""

    def __init__(self) -> None:
        self.book = Book()

    def put(self, now: datetime = NOW, closed_until: ClosedUntil | None = None, **fields: Any) -> Tenant:
        wanted = read_entry(Tenant, {"id": "acme", "stripe_customer": "cus_1", **fields})
        checked = changes.check(self.book, wanted, now=now, closed_until=closed_until)
        assert isinstance(checked, Tenant)
        assert checked.following(self.book.find(Tenant, "acme"), now) == checked, "once is enough"
        assert self.book.apply(checked.record_key, checked.encode()) is None
        return checked

    def refused(self, now: datetime = NOW, closed_until: ClosedUntil | None = None, **fields: Any) -> str:
        with pytest.raises(RefusedError) as error:
            self.put(now, closed_until, **fields)
        assert error.value.code == "meaning"
        assert [each.field for each in error.value.problems] == ["metered_since"]
        return error.value.problems[0].detail


def test_a_tenant_is_metered_from_the_day_of_the_switch_on_whatever_is_written_later() -> None:
    written = Written()
    assert written.put().metering == ()
    switched = written.put(billing="meter")
    assert switched.metering == (Metering(start=date(2026, 11, 22)),)
    assert not switched.is_metered(date(2026, 11, 21))
    assert switched.is_metered(date(2026, 11, 22))
    later = written.put(NOW + 9 * DAY, billing="meter", name="another name")
    assert later.metering == switched.metering
    assert written.put(NOW + 9 * DAY, billing="meter", metered_since="2026-11-22").metering == switched.metering


def test_a_day_can_be_given_and_moved_until_it_has_come() -> None:
    written = Written()
    written.put(billing="meter", metered_since="2026-12-01")
    moved = written.put(billing="meter", metered_since="2027-01-01")
    assert moved.metered_since == date(2027, 1, 1)
    assert "that day has come" in written.refused(NOW + 60 * DAY, billing="meter", metered_since="2027-02-01")
    assert Written().put(billing="meter", metered_since="2026-11-01").metered_since == date(2026, 11, 1)


def test_days_that_were_metered_stay_so_when_it_changes_to_another_billing() -> None:
    written = Written()
    written.put(billing="meter")
    back = written.put(NOW + 3 * DAY, billing="invoice", metered_since="2030-01-01")
    assert (back.metered_since, back.metering) == (None, (Metering(start=date(2026, 11, 22), end=date(2026, 11, 25)),))
    assert written.put(NOW + 4 * DAY, metered_before=[]).metering == back.metering
    assert "must be 2026-11-25 or later" in written.refused(NOW + 5 * DAY, billing="meter", metered_since="2026-11-24")
    again = written.put(NOW + 5 * DAY, billing="meter")
    assert again.metering == (*back.metering, Metering(start=date(2026, 11, 27)))
    assert [again.is_metered(date(2026, 11, day)) for day in (21, 22, 24, 25, 26, 27)] == [
        *(False, True, True, False, False, True)
    ]


def test_a_switch_that_is_taken_back_before_its_day_leaves_nothing() -> None:
    written = Written()
    written.put(billing="meter", metered_since="2026-12-01")
    assert written.put(billing="invoice").metering == ()


def test_what_is_invoiced_is_not_metered_too() -> None:
    written = Written()
    until = {"acme": datetime(2026, 11, 1, tzinfo=UTC)}
    detail = written.refused(closed_until=until.get, billing="meter", metered_since="2026-10-31")
    assert detail == "must be 2026-11-01 or later: what was used before is invoiced"
    until["acme"] = datetime(2026, 11, 22, 3, tzinfo=UTC)
    assert "must be 2026-11-23 or later" in written.refused(closed_until=until.get, billing="meter")
    assert written.put(closed_until=until.get, billing="meter", metered_since="2026-11-23").metered_since is not None


def test_a_tenant_with_a_plan_and_metered_days_is_not_forgotten() -> None:
    written = Written()
    plan = Plan(id="team", currency="USD", versions=(PlanVersion(),))
    on = TenantPlan(tenant_id="acme", spans=(Span(start=NOW, plan="team"),))
    for entry in (plan, on):
        assert written.book.apply(entry.record_key, entry.encode()) is None
    written.put(billing="meter")
    with pytest.raises(RefusedError, match="set `excluded` instead") as error:
        changes.delete(written.book, Tenant, "acme")
    assert error.value.code == "in_use"
