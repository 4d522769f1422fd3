"""The open period of a tenant, and its end: each number counted again."""

from __future__ import annotations

from datetime import UTC, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import httpx
import pytest

from tests.api.billing.estimates.site import DAY, HOUR, LAB, LAST, MONTH, ORG, TODAY, WEEKLY, cents, exact, iso, visits
from tests.api.process import ApiProcess


def estimate(api: ApiProcess, tenant: str) -> dict[str, Any]:
    found: dict[str, Any] = exact(api.client.get(f"/v1/tenants/{tenant}/estimate"))
    return found


def amounts(found: dict[str, Any]) -> dict[str | None, Decimal]:
    return {line["metric"]: Decimal(line["amount"]) for line in found["lines"]}


def test_what_it_costs_now_is_the_draft_and_each_line_has_its_unrounded_amount(api: ApiProcess) -> None:
    found = estimate(api, ORG)
    draft = exact(api.client.get(f"/v1/tenants/{ORG}/draft-invoice"))
    exacts = [line.pop("exact_amount") for line in found["current"]["lines"]]
    assert found["current"]["lines"] == draft["lines"]
    assert (found["current"]["total"], found["currency"]) == (draft["total"], draft["currency"])
    assert [cents(Fraction(each)) for each in exacts] == [Decimal(line["amount"]) for line in draft["lines"]]
    assert Decimal(found["current"]["exact_total"]) == sum(map(Decimal, exacts))
    assert (iso(found["from"]), found["plan"]) == (MONTH, "pay-as-you-go")
    assert found["previous"] is None
    assert found["trend"] == {"cost": None}


def test_usage_goes_on_at_the_same_rate_and_the_base_fee_is_not_multiplied(api: ApiProcess) -> None:
    found = estimate(api, LAB)
    at, start, end = (iso(found[name]) for name in ("at", "from", "to"))
    whole, so_far = end - start, max(at - start, HOUR)
    orders = 10 * Fraction(whole // timedelta(seconds=1), so_far // timedelta(seconds=1))
    now, then = amounts(found["current"]), amounts(found["projected"])
    assert (now[None], then[None]) == (Decimal("199.00"), Decimal("199.00"))
    assert (now["order"], then["order"]) == (Decimal("1.00"), cents(orders / 10))
    # 45 GB are held on: a whole month's at its end
    assert abs(then["storage"] - 45) <= Decimal("0.05")
    assert then["storage"] >= now["storage"]
    assert found["projected"]["seasonal"] == []
    assert Decimal(found["projected"]["total"]) == sum(then.values()) >= Decimal(found["current"]["total"])


def test_its_end_is_held_against_the_period_before(api: ApiProcess) -> None:
    found = estimate(api, LAB)
    before = Decimal("478.50")
    assert (iso(found["previous"]["from"]), found["previous"]["total"]) == (LAST, str(before))
    percent = (Decimal(found["projected"]["total"]) - before) / before * 100
    assert abs(Decimal(found["trend"]["cost"]) - percent) <= Decimal("0.005")


def test_with_eight_weeks_of_history_usage_goes_on_by_weekday(api: ApiProcess) -> None:
    found = estimate(api, WEEKLY)
    assert found["projected"]["seasonal"] == ["visits"]
    at, end = iso(found["at"]), iso(found["to"])
    by_weekday = [
        sum(
            (Fraction(visits(TODAY - back * DAY)) for back in range(1, 57) if (TODAY - back * DAY).weekday() == n),
            Fraction(0),
        )
        / 8
        for n in range(7)
    ]
    quantity = sum((Fraction(visits(MONTH + n * DAY)) for n in range((TODAY - MONTH).days)), Fraction(0))
    moment = at.astimezone(UTC)
    while moment < end:
        following = min(moment.replace(hour=0, minute=0, second=0) + DAY, end)
        seconds = (following - moment) // timedelta(seconds=1)
        quantity += by_weekday[moment.weekday()] * Fraction(seconds, 86_400)
        moment = following
    line = next(line for line in found["projected"]["lines"] if line["metric"] == "visits")
    assert abs(Fraction(line["quantity"]) - quantity) <= Fraction(1, 10**8)
    assert Decimal(line["amount"]) == cents(quantity * Fraction("0.0137"))
    assert Decimal(found["projected"]["total"]) == Decimal(line["amount"]) + 10


def test_a_tenant_reads_its_own_estimate_and_no_other(api: ApiProcess) -> None:
    made = api.client.post("/v1/keys", json={"role": "viewer", "tenants": [LAB]}).json()["key"]
    viewer = {"Authorization": f"Bearer {made}"}
    assert api.client.get(f"/v1/tenants/{LAB}/estimate", headers=viewer).status_code == 200
    assert api.client.get(f"/v1/tenants/{ORG}/estimate", headers=viewer).status_code == 403
    everybody = api.client.post("/v1/keys", json={"role": "viewer", "tenants": ["*"]}).json()["key"]
    other = api.client.get(f"/v1/tenants/{LAB}/estimate", headers={"Authorization": f"Bearer {everybody}"})
    assert "FINANCE_MANAGE" in other.json()["detail"]


@pytest.mark.parametrize("tenant", ["nobody", "a/b", "%00"])
def test_who_is_on_no_plan_has_none(api: ApiProcess, tenant: str) -> None:
    answer: httpx.Response = api.client.get(f"/v1/tenants/{tenant}/estimate")
    assert answer.status_code == 404, answer.text
    assert "/v1/tenants/{id}/plan" in answer.json()["detail"]
