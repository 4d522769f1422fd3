"""Accruals: at the end of a period what its invoice will have, in the middle of it what had passed by then."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from tests.api.billing.finance.company import (
    BEGUN,
    DAILY,
    DAY,
    FEES,
    INDIA,
    INDIAN,
    LAST,
    MOVED,
    MOVER,
    THIS,
    TODAY,
    UTCS,
    Part,
    Site,
    month,
    owed,
    parts,
)
from tests.api.billing.finance.conftest import Before

PATH = "/v1/billing/accruals"
SAME = ("kind", "metric", "plan", "quantity", "included", "amount", "share")


def line(row: dict[str, Any]) -> tuple[Any, ...]:
    return *(row[name] for name in SAME), row["from"], row["to"]


def cents(exact: Fraction) -> Decimal:
    return Decimal(round(exact * 100)) / 100


def expected(site: Site, part: Part, at: datetime) -> dict[str | None, Decimal]:
    """By metric, None for the base fee, what a part of a period comes to that is left at ``at``."""
    left = part.until(at)
    found: dict[str | None, Decimal] = {None: cents(FEES[part.plan] * left.share)}
    for metric in ("calls", "disk", "people", "peak"):
        number = site.sent.number(part, metric, left.end)
        found[metric] = cents(owed(part.plan, metric, number, left.share))
    return found


def amounts(rows: list[dict[str, Any]], part: Part) -> dict[str | None, Decimal]:
    mine = [row for row in rows if row["tenant_id"] == part.tenant and row["from"] == stamp(part.start)]
    return {row["metric"]: Decimal(row["amount"]) for row in mine if row["kind"] != "adjustment"}


def stamp(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize("zone", ["UTC", INDIA])
def test_at_the_end_of_a_period_they_are_the_lines_of_its_invoice(before: Before, closed: Site, zone: str) -> None:
    rows = before.utc if zone == "UTC" else before.india
    ids = (UTCS, MOVER) if zone == "UTC" else (INDIAN,)
    period = [stamp(each) for each in month(LAST, zone)]
    for id in ids:
        invoices = closed.get("/v1/invoices", tenant_id=id)["data"]
        (invoice,) = [each for each in invoices if [each["from"], each["to"]] == period]
        mine = [row for row in rows if row["tenant_id"] == id and row["period_from"] == period[0]]
        assert [line(row) for row in mine] == [line(each) for each in invoice["lines"]]
        assert sum(Decimal(row["amount"]) for row in mine) == Decimal(invoice["total"])
        assert {row["deferred"] for row in mine} == {"0.00"}


def test_after_the_close_they_are_the_same_at_that_cut_off_and_gone_at_this_one(before: Before, closed: Site) -> None:
    assert closed.pages(PATH, at=THIS.isoformat()) == before.utc
    now = closed.pages(PATH, limit=1)
    assert {row["period_from"] for row in now} <= {
        stamp(each) for each in (THIS, month(THIS, INDIA)[0], TODAY, month(THIS + 32 * DAY, INDIA)[0])
    }


@pytest.mark.parametrize("at", [LAST + 9 * DAY, MOVED + timedelta(hours=5), LAST + timedelta(days=20, seconds=1)])
def test_in_the_middle_of_a_period_they_are_what_passed_of_it(closed: Site, at: datetime) -> None:
    rows = closed.pages(PATH, at=at.isoformat())
    found = 0
    for part in parts():
        if part.start < at and part.period[1] > at:
            mine, wanted = amounts(rows, part), expected(closed, part, at)
            assert {metric: mine.get(metric, Decimal(0)) for metric in wanted} == wanted, (part, at)
            (fee,) = [
                r
                for r in rows
                if (r["tenant_id"], r["from"], r["kind"]) == (part.tenant, stamp(part.start), "base_fee")
            ]
            whole = cents(FEES[part.plan] * part.share)
            assert Decimal(fee["amount"]) + Decimal(fee["deferred"]) == whole
            assert fee["to"] == stamp(min(at, part.end))
            found += 1
    assert found >= 3


def test_days_that_were_not_invoiced_by_then_are_each_told(closed: Site) -> None:
    at = BEGUN + 2 * DAY
    rows = closed.pages(PATH, at=at.isoformat(), tenant_id=DAILY)
    assert {row["period_from"] for row in rows} == {stamp(BEGUN), stamp(BEGUN + DAY)}
    for part in parts():
        if part.tenant == DAILY and part.end <= at:
            wanted = expected(closed, part, at)
            assert {metric: amounts(rows, part).get(metric, Decimal(0)) for metric in wanted} == wanted


def test_what_came_after_the_close_is_accrued_until_an_invoice_has_it_and_not_before_it_came(closed: Site) -> None:
    as_of = datetime.now(UTC)
    at = datetime.now(UTC).replace(microsecond=0)
    asked = {"at": at.isoformat(), "as_of": as_of.isoformat()}
    before = closed.pages(PATH, **asked)
    assert before == closed.pages(PATH, at=at.isoformat())
    (invoice,) = [i for i in closed.get("/v1/invoices", tenant_id=UTCS)["data"] if i["from"] == stamp(LAST)]
    (billed,) = [each for each in invoice["lines"] if each["metric"] == "calls"]
    closed.late(UTCS, "calls", "200.5", LAST + 3 * DAY)
    assert closed.pages(PATH, **asked) == before
    changed = [row for row in closed.pages(PATH, tenant_id=UTCS) if row["kind"] == "adjustment"]
    (part,) = [each for each in parts() if each.tenant == UTCS and each.start == LAST]
    more = expected(closed, part, part.end)["calls"] - Decimal(billed["amount"])
    assert [(row["metric"], row["origin"], row["quantity"], Decimal(row["amount"])) for row in changed] == [
        ("calls", invoice["number"], "200.5", more)
    ]
    (told,) = closed.get("/v1/billing/changes-after-close", tenant_id=UTCS)["data"]
    assert Decimal(told["amount"]) == more


def test_a_cut_off_that_lies_ahead_or_before_all_time_is_refused(closed: Site) -> None:
    for query in ({"at": "2999-01-01T00:00:00Z"}, {"at": "0001-01-01T00:00:00Z"}, {"as_of": "9999-12-31T23:59:59Z"}):
        answer = closed.api.client.get(PATH, params=query)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_range"), answer.text
    assert closed.api.client.get(PATH, params={"cursor": "ÿ"}).status_code == 422
