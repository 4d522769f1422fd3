"""Requirement documents 2, 4 and 5 of who is on a plan: their own numbers, to the cent."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from tests.api.billing.estimates.site import DAY, LAB, LAST, MONTH, ORG, SERVED, exact, invoices
from tests.api.process import ApiProcess


def get(api: ApiProcess, path: str, **query: Any) -> dict[str, Any]:
    found: dict[str, Any] = exact(api.client.get(path, params=query))
    return found


def test_document_2_beyond_what_the_plan_includes_75_scans_cost_1_25(api: ApiProcess) -> None:
    found = get(api, f"/api/usage/{ORG}")
    scans = next(each for each in found["features"] if each["feature"] == "OCR_SCAN")
    assert (scans["totalQuantity"], scans["includedQuantity"], scans["overageQuantity"]) == (75, 50, 25)
    assert (scans["overageAmount"], scans["pricePerUnit"], scans["currency"]) == (Decimal("1.25"), 5, "USD")
    assert (scans["hasQuota"], scans["unlimited"]) == (False, False)
    assert (found["totalOverageAmount"], found["currency"]) == (Decimal("1.25"), "USD")
    used = {each["feature"] for each in found["features"][:2]}
    assert used == {"EMAIL_SENT", "OCR_SCAN"}
    (period,) = get(api, f"/api/usage/{ORG}/history")["periods"]
    assert period["totalOverageAmount"] == Decimal("1.25")
    estimate = get(api, f"/api/usage/{ORG}/estimate")
    of_v1 = get(api, f"/v1/tenants/{ORG}/estimate")
    assert estimate["estimatedAmount"] >= Decimal("1.25")
    assert estimate["estimatedAmount"] == sum(each["estimatedAmount"] for each in estimate["features"])
    assert abs(estimate["estimatedAmount"] - Decimal(of_v1["projected"]["total"])) <= Decimal("0.05")


def test_document_4_the_example_company_of_last_month_costs_478_50(api: ApiProcess) -> None:
    last_day = f"{MONTH - DAY:%Y-%m-%d}"
    found = get(api, "/api/billing/usage/range", companyId=LAB, startDate=f"{LAST:%Y-%m-%d}", endDate=last_day)
    assert {name: (each["count"], each["cost"]) for name, each in found["metrics"].items()} == {
        "orders": (1250, Decimal("125.00")),
        "invoices": (980, Decimal("49.00")),
        "storage": (45, Decimal("45.00")),
        "apiCalls": (50000, Decimal("0.50")),
        "aiJobs": (120, Decimal("60.00")),
    }
    assert (found["totalUsageCost"], found["baseFee"]) == (Decimal("279.50"), Decimal("199.00"))
    assert found["totalCost"] == found["grandTotal"] == Decimal("478.50")
    assert (found["plan"], found["currency"], found["notes"], found["otherCosts"]) == (
        "order-management",
        "USD",
        [],
        {},
    )
    # a day of it has its part of the base fee
    day = get(api, "/api/billing/usage/range", companyId=LAB, startDate=last_day, endDate=last_day)
    days = (MONTH - LAST) // timedelta(days=1)
    assert day["baseFee"] == round(Decimal(199) / days, 2)
    assert day["totalCost"] == day["baseFee"] + round(Decimal(45) / days, 2)


def test_document_4_this_month_is_held_against_the_whole_one_before(api: ApiProcess) -> None:
    found = get(api, "/api/billing/analytics", companyId=LAB)
    current, last = found["currentMonth"], found["lastMonth"]
    assert (current["metrics"]["orders"]["cost"], current["baseFee"]) == (Decimal("1.00"), 199)
    assert last["totalCost"] == Decimal("478.50")
    assert found["trend"]["orders"] == Decimal("-99.2")  # 10 of 1,250
    assert found["projectedCost"] > current["totalCost"]
    assert found["trend"]["cost"] == round((found["projectedCost"] - Decimal("478.50")) / Decimal("478.50") * 100, 2)
    of_v1 = get(api, f"/v1/tenants/{LAB}/estimate")
    assert abs(found["projectedCost"] - Decimal(of_v1["projected"]["total"])) <= Decimal("0.05")


def test_document_4_an_event_costs_what_the_plan_says(api: ApiProcess) -> None:
    key = api.client.post("/v1/keys", json={"role": "producer", "tenants": ["elsewhere"]}).json()["key"]
    assert api.client.put("/v1/tenants/elsewhere/plan", json={"plan": "order-management"}).status_code == 200
    headers = {"Authorization": f"Bearer {key}"}
    for metric, quantity, cost in (("order", 5, "0.50"), ("api_call", 1, "0.00001")):
        tracked = exact(api.client.post(f"/api/billing/track/{metric}", json={"quantity": quantity}, headers=headers))
        assert tracked["cost"] == Decimal(cost)


def test_document_5_an_itemised_invoice_of_one_day(api: ApiProcess) -> None:
    found = get(api, f"/billing/invoice/{SERVED}", **{"from": "1640995200", "to": "1641081600"})
    assert found == {
        "id": "inv_tenant-123_1640995200",
        "tenant_id": SERVED,
        "period_start": 1640995200,
        "period_end": 1641081600,
        "items": [
            {
                "service": "marketplace",
                "usage_type": "wpk_upload",
                "quantity": 5,
                "included": 0,
                "rate": Decimal("0.1"),
                "amount": Decimal("0.50"),
            }
        ],
        "total_amount": Decimal("0.50"),
        "currency": "USD",
        "status": "generated",
        "unpriced": [],
        "number": None,
        "state": "draft",
    }


def test_document_5_a_closed_invoice_is_the_one_that_was_written(api: ApiProcess) -> None:
    (kept,) = [each for each in invoices(api, LAB) if each["from"].startswith(f"{LAST:%Y-%m-%d}")]
    bounds = {"from": f"{LAST:%Y-%m-%d}", "to": f"{MONTH:%Y-%m-%d}"}
    found = get(api, f"/billing/invoice/{LAB}", **bounds)
    assert (found["number"], found["state"], found["status"]) == (kept["number"], "closed", "generated")
    assert found["total_amount"] == Decimal("478.50") == Decimal(kept["total"])
    items = {each["usage_type"]: (each["quantity"], each["rate"], each["amount"]) for each in found["items"]}
    assert items["base_fee"] == (1, 199, 199)
    assert items["api_call"] == (50000, Decimal("0.00001"), Decimal("0.50"))
    assert sum(each["amount"] for each in found["items"]) == found["total_amount"]
    euros = get(api, f"/billing/invoice/{LAB}", currency="EUR", **bounds)
    assert (euros["items"], euros["total_amount"]) == ([], 0)


def test_the_price_list_has_the_descriptions_of_the_plans(api: ApiProcess) -> None:
    plans = {each["id"]: each for each in get(api, "/pricing")["plans"]}
    assert plans.keys() == {"by-weekday", "flat", "order-management", "pay-as-you-go", "services"}
    orders = plans["order-management"]
    assert (orders["base_fee"], orders["text"]) == ("199", "$199.00 USD per month")
    assert {each["metric"]: (each["text"], each["description"]) for each in orders["rates"]} == {
        "order": ("$0.10 USD per order", "Per order created and processed"),
        "invoice": ("$0.05 USD per invoice", "Per invoice generated"),
        "storage": ("$1.00 USD per GB", "OMA files, images, documents, backups"),
        "api_call": ("$0.01 USD per 1,000 call", "Public API usage (developer platform)"),
        "ai_job": ("$0.50 USD per job", "AI forecasting, anomaly detection, recommendations"),
    }
    (upload, *_) = plans["services"]["rates"]
    assert (upload["service"], upload["usage_type"], upload["text"]) == (
        "marketplace", "wpk_upload", "$0.10 USD per upload",
    )  # fmt: skip
    page = api.client.get("/pricing", params={"format": "html", "plan": "order-management"})
    assert page.headers["content-type"].startswith("text/html")
    assert "<script" not in page.text
    for said in ("Order management", "$199.00 USD per month", "Per order created and processed"):
        assert said in page.text
    assert "Marketplace" not in page.text
    key = api.client.post("/v1/keys", json={"role": "viewer", "tenants": [LAB]}).json()["key"]
    own = exact(api.client.get("/pricing", headers={"Authorization": f"Bearer {key}"}))
    assert [each["id"] for each in own["plans"]] == ["order-management"]
