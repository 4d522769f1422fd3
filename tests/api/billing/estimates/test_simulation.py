"""The same usage under another plan: what a close under that plan comes to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.api.billing.estimates.site import DAY, FLAT, LAB, LAST, MONTH, NEW, OTHER, exact, invoices, per_unit
from tests.api.process import KEY, ApiProcess

WITHIN = (LAST + 10 * DAY).isoformat()
INLINE = {**FLAT, "id": "not-in-the-catalog"}


def simulate(api: ApiProcess, plan: Any, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = exact(api.client.post("/v1/billing/simulate", json={"plan": plan, "at": WITHIN, **more}))
    return found


def invoice_of(api: ApiProcess, tenant: str) -> dict[str, Any]:
    (found,) = [each for each in invoices(api, tenant) if each["from"].startswith(f"{LAST:%Y-%m-%d}")]
    return found


def without_place(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in line.items() if name not in ("plan", "name", "events", "exact_amount")}
        for line in lines
    ]


@pytest.mark.parametrize("plan", ["flat", INLINE], ids=["of the catalog", "inline"])
def test_it_is_what_the_close_of_a_tenant_on_that_plan_came_to(api: ApiProcess, plan: Any) -> None:
    (found,) = simulate(api, plan, tenant_id=LAB)["data"]
    closed, other = invoice_of(api, LAB), invoice_of(api, OTHER)
    assert (found["current"]["total"], found["simulated"]["total"]) == (closed["total"], other["total"])
    assert without_place(found["current"]["lines"]) == without_place(closed["lines"])
    assert without_place(found["simulated"]["lines"]) == without_place(other["lines"])
    # counted again: 49.90, 1,050 orders at 0.175, 45 GB at 0.50, 5 packages at 7.00 but no more than 30
    assert Decimal(other["total"]) == Decimal("49.90") + Decimal("183.75") + Decimal("22.50") + 30
    assert Decimal(found["difference"]) == Decimal(other["total"]) - Decimal("478.50")


def test_everybody_who_is_on_a_plan_is_moved_and_page_by_page_it_is_the_same(api: ApiProcess) -> None:
    found = simulate(api, INLINE, limit=1000)
    by_tenant = {each["tenant_id"]: each for each in found["data"]}
    assert by_tenant.keys() == {LAB, OTHER, NEW}  # the others were on none, or are not invoiced
    differences = {tenant: Decimal(each["difference"]) for tenant, each in by_tenant.items()}
    # the new lab has 3 orders: 199.30, and the base fee alone
    assert differences == {
        LAB: Decimal("286.15") - Decimal("478.50"),
        OTHER: 0,
        NEW: Decimal("49.90") - Decimal("199.30"),
    }
    counts = (found["pay_more"], found["pay_less"], found["pay_the_same"], found["not_comparable"])
    assert counts == (0, 2, 1, 0)
    (total,) = found["totals"]
    assert Decimal(total["simulated"]) - Decimal(total["current"]) == sum(differences.values())
    pages: list[Any] = []
    cursor: dict[str, Any] = {}
    while True:
        page = simulate(api, INLINE, limit=1, **cursor)
        pages += page["data"]
        if "next_cursor" not in page:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert pages == found["data"]
    only = simulate(api, INLINE, on_plan="order-management")
    assert [each["tenant_id"] for each in only["data"]] == [LAB, NEW]


def test_days_are_held_against_the_month_that_they_lie_in(api: ApiProcess) -> None:
    daily = {
        "id": "daily",
        "currency": "USD",
        "period": "daily",
        "versions": [{"base_fee": "1.00", "charges": [per_unit("order", "0.10", included="100")]}],
    }
    (found,) = simulate(api, daily, tenant_id=LAB)["data"]
    days = (MONTH - LAST) // timedelta(days=1)
    assert Decimal(found["simulated"]["total"]) == days + Decimal("115.00")  # 1,250 orders on one day
    assert found["current"]["total"] == "478.50"
    yen = {**daily, "id": "yen", "currency": "JPY"}
    other = simulate(api, yen, tenant_id=LAB)
    assert (other["data"][0]["difference"], other["not_comparable"]) == (None, 1)


def test_nothing_is_written(api: ApiProcess) -> None:
    def there() -> list[Any]:
        paths = ("/v1/plans", "/v1/invoices", f"/v1/tenants/{LAB}/plan", "/v1/billing/runs")
        return [api.client.get(path).json() for path in paths]

    before = there()
    simulate(api, INLINE)
    assert there() == before


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"plan": "none"}, 404, "there is no plan 'none'"),
        ({"plan": {**INLINE, "currency": "XYZ"}}, 422, "no currency"),
        ({"plan": {**INLINE, "versions": [{"charges": [per_unit("nothing", "1")]}]}}, 422, "not defined"),
        ({"plan": {"id": "x"}}, 422, "currency"),
        ({"plan": "flat", "cursor": "?"}, 422, "cursor"),
        ({"plan": "flat", "at": "1900-01-01T00:00:00Z"}, 422, "1970"),
        ({"plan": "flat", "limit": 0}, 422, "limit"),
        ({}, 422, "plan"),
    ],
)
def test_what_cannot_be_simulated_is_refused(api: ApiProcess, body: dict[str, Any], status: int, said: str) -> None:
    answer = api.client.post("/v1/billing/simulate", json=body)
    assert answer.status_code == status, answer.text
    assert said in answer.text


def test_finance_of_one_tenant_sees_its_own_alone(api: ApiProcess) -> None:
    made = api.client.post("/v1/keys", json={"role": "finance", "tenants": [LAB]}).json()["key"]
    headers = {"Authorization": f"Bearer {made}"}

    def asked(**body: Any) -> Any:
        return api.client.post("/v1/billing/simulate", json={"at": WITHIN, **body}, headers=headers)

    assert [each["tenant_id"] for each in asked(plan=INLINE).json()["data"]] == [LAB]
    assert asked(plan=INLINE, tenant_id=OTHER).status_code == 403
    assert asked(plan="flat").status_code == 404  # nobody whom it reaches is on it
    viewer = api.client.post("/v1/keys", json={"role": "viewer", "tenants": [LAB]}).json()["key"]
    refused = api.client.post(
        "/v1/billing/simulate", json={"plan": INLINE}, headers={"Authorization": f"Bearer {viewer}"}
    )
    assert refused.status_code == 403


def test_the_command_adds_up_all_pages(api: ApiProcess, tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text(yaml.safe_dump({"plans": [INLINE]}))
    environment = {**os.environ, "METERLINE_API_URL": str(api.client.base_url), "METERLINE_API_KEY": KEY}

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "meterline_deploy", "billing", "simulate", *options, "--data", str(tmp_path)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    month = f"{LAST:%Y-%m}"
    found = json.loads(run("--plan", str(file), "--period", month, "--format", "json").stdout)
    wanted = simulate(api, INLINE)
    assert {each["tenant_id"]: each["difference"] for each in found["data"]} == {
        each["tenant_id"]: each["difference"] for each in wanted["data"]
    }
    assert (found["totals"], found["pay_less"]) == (wanted["totals"], 2)
    shown = run("--plan", "flat", "--tenant", LAB, "--period", month)
    assert shown.returncode == 0, shown.stderr
    assert "286.15 USD" in shown.stdout
    assert "1 pay less" in shown.stdout
    assert run("--plan", "none").returncode == 1
    file.write_text(yaml.safe_dump({"plans": [INLINE, FLAT]}))
    assert "2 plans" in run("--plan", str(file)).stderr
