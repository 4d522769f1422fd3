"""The examples of requirement documents 1, 2, 4 and 5, through the whole pipeline and with real callers."""

from __future__ import annotations

import json
import random
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from meterline_schemas.periods import Calendar, Period
from tests.api.documents import COMPANY, FEATURES, PRICES, RATES, STORED, Documents, error, exact
from tests.services.clickhouse import ClickHouseServer, execute
from tests.support.streams import wait_until

MONTH = Calendar(Period.MONTHLY)


@pytest.fixture(scope="module")
def installed(
    kafka: str, clickhouse_server: ClickHouseServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Documents]:
    name = uuid.uuid4().hex[:8]
    settings = clickhouse_server.settings(f"documents{name}")
    with Documents(kafka, f"documents-{name}.", tmp_path_factory.mktemp("documents"), settings) as made:
        made.keep()
        made.warm_up()
        yield made
        assert b"Traceback" not in made.log("api").read_bytes()
        assert b"internal error" not in made.log("api").read_bytes()
    execute(settings, f"DROP DATABASE {settings.database} SYNC")


@pytest.fixture(scope="module")
def root(installed: Documents) -> Iterator[httpx.Client]:
    with installed.client() as client:
        yield client


def month() -> tuple[datetime, datetime]:
    return MONTH.bounds(datetime.now(UTC))


def iso(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def meter(root: httpx.Client, tenant: str, feature: str, quantity: str, **more: Any) -> dict[str, Any]:
    """Document 1's ``meterUsage(tenantId, feature, quantity)``."""
    body = {"organizationId": tenant, "feature": feature, "quantity": quantity, **more}
    found: dict[str, Any] = exact(root.post("/api/usage/track", json=body))
    return found


# document 1


def test_t93_1_what_is_metered_is_the_features_sum(root: httpx.Client) -> None:
    meter(root, "T1", "job_execution_unit", "5")
    found = exact(root.get("/admin/billing/usage", params={"tenantId": "T1"}))
    assert found["metrics"] == [{"tenantId": "T1", "feature": "job_execution_unit", "quantity": 5, "unit": "Count"}]
    assert found["totals"] == {"totalGbStored": 0, "totalJobsExecuted": 5, "totalTransactions": 0}
    assert found["tenantIdFilter"] == "T1"
    at = datetime.fromisoformat(found["generationDate"])
    assert abs(at - datetime.now(UTC)) < timedelta(minutes=1)


def test_t93_2_a_report_sums_every_tenant_and_feature_exactly(installed: Documents, root: httpx.Client) -> None:
    rng = random.Random(93)
    units = {"storage_gb_month": "GB-Month", "transaction": "Count", "premium_api_call": "Count"}
    wanted: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    events = []
    for n in range(200):
        tenant, feature = f"sum-{rng.randrange(3)}", rng.choice(sorted(units))
        quantity = Decimal(rng.randrange(10**6)) / 1000
        wanted[tenant, feature] += quantity
        events.append({"id": f"e{n}", "tenant_id": tenant, "metric": feature, "quantity": str(quantity)})
    assert root.post("/v1/events", json=events, headers={"Idempotency-Key": "t93"}).status_code == 202
    meter(root, "sum-0", "storage_gb_month", "1.5")
    wanted["sum-0", "storage_gb_month"] += Decimal("1.5")

    def report(client: httpx.Client) -> Any:
        return exact(client.get("/admin/billing/usage"))

    with installed.client("finance") as finance, installed.client("admin", "sum-1") as admin:
        found = report(finance)
        lines = [line for line in found["metrics"] if line["tenantId"].startswith("sum-")]
        assert lines == [
            {"tenantId": tenant, "feature": feature, "quantity": quantity, "unit": units[feature]}
            for (tenant, feature), quantity in sorted(wanted.items())
        ]
        assert found["tenantIdFilter"] == "ALL"
        for feature, name in (("storage_gb_month", "totalGbStored"), ("transaction", "totalTransactions")):
            mine = sum((line["quantity"] for line in found["metrics"] if line["feature"] == feature), Decimal(0))
            assert found["totals"][name] == mine
        # who reaches one tenant has its report, and no other
        assert {line["tenantId"] for line in report(admin)["metrics"]} == {"sum-1"}
        error(admin.get("/admin/billing/usage", params={"tenantId": "sum-2"}), 403, "permission_denied")


def test_a_report_is_of_the_period_asked_for(root: httpx.Client) -> None:
    meter(root, "of-year", "transaction", "2", timestamp="2025-01-15T10:30:00Z")
    meter(root, "of-year", "transaction", "3", timestamp="2025-02-01T00:00:00Z")
    for given, total in (
        ({"from": "2025-01-01", "to": "2025-02-01"}, 2),
        ({"from": "2025-01-01T00:00:00Z", "to": "2025-02-01T01:00:00Z"}, 5),
        ({"from": "2025-01-15T12:00:00+01:00", "to": "2025-03-01"}, 3),
        ({}, 0),
    ):
        found = exact(root.get("/admin/billing/usage", params={"tenantId": "of-year", **given}))
        assert found["totals"]["totalTransactions"] == total, given


def test_t93_3_a_creator_is_refused_and_nobody_is_asked_first(installed: Documents) -> None:
    with installed.client("producer", "T1") as creator, installed.client("viewer", "T1") as viewer:
        error(creator.get("/admin/billing/usage"), 403, "permission_denied")
        error(viewer.get("/admin/billing/usage"), 403, "permission_denied")
        nobody = httpx.get(creator.base_url.join("/admin/billing/usage"), params={"from": "x"}, trust_env=False)
        error(nobody, 401, "unauthorized")


@pytest.mark.parametrize(
    ("query", "field"),
    [({"from": "yesterday"}, "from"), ({"to": "2025-01-01T00:30:00Z"}, "to"), ({"tenantId": ""}, "tenantId")],
)
def test_a_wrong_query_is_a_validation_error_with_a_list(root: httpx.Client, query: dict[str, str], field: str) -> None:
    found = error(root.get("/admin/billing/usage", params=query), 422, "validation_error")
    assert found["message"] == "Query validation failed."
    assert [each["field"] for each in found["details"]] == [field]
    assert found["details"][0]["detail"]


def test_that_a_report_was_generated_is_in_the_audit_log(installed: Documents, root: httpx.Client) -> None:
    with installed.client("finance", "audited") as finance:
        me = finance.get("/v1/caller").json()["actor"]
        exact(finance.get("/admin/billing/usage", params={"tenantId": "audited", "from": "2025-01-01"}))
    query = {"action": "billing.report.generated", "actor": me}
    wait_until(lambda: bool(root.get("/v1/audit", params=query).json()["data"]), 30, "it is in the audit log")
    (entry,) = root.get("/v1/audit", params=query).json()["data"]
    assert entry["resource_type"] == "billing"
    assert entry["details"] == {"filters": {"tenantId": "audited", "from": "2025-01-01"}, "recordCount": 0}


# document 2


def test_what_is_tracked_is_usage_at_once(root: httpx.Client) -> None:
    sent = exact(
        root.post("/api/usage/track", json={"organizationId": "org_test", "feature": "OCR_SCAN", "quantity": 1})
    )
    usage = exact(root.get("/api/usage/org_test"))
    assert usage["features"][0]["totalQuantity"] == 1
    assert usage["features"][0]["feature"] == sent["feature"] == "OCR_SCAN"
    assert usage["organizationId"] == sent["organisationId"] == "org_test"


def test_beyond_a_quota_of_50_at_5_cents_75_scans_cost_1_25(root: httpx.Client) -> None:
    quota = exact(
        root.post(
            "/api/usage/org_overage/quota", json={"feature": "OCR_SCAN", "includedQuantity": 50, "pricePerUnit": 5}
        )
    )
    assert (quota["currency"], quota["resetPeriod"], quota["pricePerUnit"]) == ("EUR", "MONTHLY", 5)
    root.post("/api/usage/track", json={"organizationId": "org_overage", "feature": "OCR_SCAN", "quantity": 75})
    usage = exact(root.get("/api/usage/org_overage"))
    first = usage["features"][0]
    assert first["overageQuantity"] == 25
    assert first["overageAmount"] == Decimal("1.25")
    assert (first["displayName"], first["totalQuantity"], first["includedQuantity"]) == ("OCR scans", 75, 50)
    assert (usage["totalOverageAmount"], usage["currency"]) == (Decimal("1.25"), "EUR")
    assert not first["hasQuota"]
    start, end = month()
    assert (first["periodStart"], first["periodEnd"]) == (iso(start), iso(end))


def test_the_requests_of_document_2_as_they_are_written(root: httpx.Client) -> None:
    body = {
        "organizationId": "org_123",
        "feature": "OCR_SCAN",
        "quantity": 1,
        "metadata": {"fileSize": 1024000, "documentType": "receipt"},
    }
    sent = exact(root.post("/api/usage/track", json=body))
    assert sent["metadata"] == {"fileSize": 1024000, "documentType": "receipt"}
    assert sent["reportedToStripe"] is False
    manual = {
        "organizationId": "org_123",
        "feature": "API_CALL",
        "quantity": 1,
        "metadata": {"endpoint": "/api/invoices", "method": "POST"},
        "userId": "user_456",
    }
    assert exact(root.post("/api/usage/track", json=manual))["userId"] == "user_456"
    of_user = root.get("/v1/usage", params={"tenant_id": "org_123", "subject": "user:user_456"}).json()["data"]
    assert [(row["metric"], row["value"]) for row in of_user] == [("api_call", "1")]
    used = exact(root.get("/api/usage/org_123"))["features"]
    assert [feature["feature"] for feature in used[:2]] == ["API_CALL", "OCR_SCAN"]
    asked = exact(root.get("/api/usage/org_123?features=OCR_SCAN,API_CALL"))["features"]
    assert {feature["feature"]: feature["totalQuantity"] for feature in asked} == {"OCR_SCAN": 1, "API_CALL": 1}
    quota = {"feature": "OCR_SCAN", "includedQuantity": 100, "pricePerUnit": 5, "currency": "EUR"}
    assert exact(root.post("/api/usage/org_123/quota", json=quota))["includedQuantity"] == 100
    (scans,) = exact(root.get("/api/usage/org_123?features=ocr_scan"))["features"]
    assert (scans["includedQuantity"], scans["currency"], scans["overageAmount"]) == (100, "EUR", 0)


def test_many_are_tracked_in_one_request_and_an_organisation_is_spelt_both_ways(root: httpx.Client) -> None:
    events = [{"feature": "EMAIL_SENT", "quantity": 5}, {"feature": "PDF_EXPORT", "quantity": 2}, {"feature": "sms"}]
    sent = exact(root.post("/api/usage/track", json={"organisationId": "org_bulk", "events": events}))
    assert [each["feature"] for each in sent["events"]] == ["EMAIL_SENT", "PDF_EXPORT", "SMS_SENT"]
    usage = exact(root.get("/api/usage/org_bulk"))["features"]
    assert {each["feature"]: each["totalQuantity"] for each in usage[:3]} == {
        "EMAIL_SENT": 5, "PDF_EXPORT": 2, "SMS_SENT": 1,
    }  # fmt: skip


def test_the_default_free_tiers_apply_without_configuration(root: httpx.Client) -> None:
    wanted = {quota["metric"].upper(): quota for quota in FEATURES["quotas"]}
    found = {each["feature"]: each for each in exact(root.get("/api/usage/org_new"))["features"]}
    for feature, quota in wanted.items():
        assert found[feature]["includedQuantity"] == quota["included"]
        assert found[feature]["pricePerUnit"] == Decimal(str(quota["price_per_unit"])) * 100
        assert found[feature]["currency"] == "USD"
        assert found[feature]["totalQuantity"] == 0


def test_a_level_is_used_as_it_was_last_read(root: httpx.Client) -> None:
    meter(root, "org_store", "STORAGE_GB", "7")
    meter(root, "org_store", "STORAGE_GB", "6")

    def level() -> Any:
        return exact(root.get("/api/usage/org_store?features=STORAGE_GB"))["features"][0]

    wait_until(lambda: level()["totalQuantity"] == 6, 30, lambda: str(level()))
    assert (level()["overageQuantity"], level()["overageAmount"]) == (1, Decimal("0.02"))


def test_the_history_has_a_summary_for_each_period_with_usage(root: httpx.Client) -> None:
    start = month()[0]
    months = [start]
    for _ in range(3):
        months.append(MONTH.bounds(months[-1] - timedelta(seconds=1))[0])
    events = [{"feature": "OCR_SCAN", "quantity": 60 + n, "timestamp": iso(at)} for n, at in enumerate(months)]
    exact(root.post("/api/usage/track", json={"organizationId": "org_hist", "events": events}))
    found = exact(root.get("/api/usage/org_hist/history?limit=12"))["periods"]
    assert [(each["periodStart"], each["features"][0]["totalQuantity"]) for each in found] == [
        (iso(at), 60 + n) for n, at in enumerate(months)
    ]
    assert [each["totalOverageAmount"] for each in found] == [Decimal(10 + n) * 5 / 100 for n in range(4)]
    assert len(exact(root.get("/api/usage/org_hist/history?limit=2"))["periods"]) == 2
    error(root.get("/api/usage/org_hist/history?limit=0"), 422, "invalid_request")


def test_an_estimate_goes_on_to_the_end_of_the_period_and_never_falls_below_now(root: httpx.Client) -> None:
    meter(root, "org_est", "OCR_SCAN", "80")
    meter(root, "org_est", "EMAIL_SENT", "10")
    before = datetime.now(UTC)
    found = exact(root.get("/api/usage/org_est/estimate"))
    after = datetime.now(UTC)
    scans = next(each for each in found["features"] if each["feature"] == "OCR_SCAN")
    start, end = month()
    low, high = (80 * (end - start) / max(at - start, timedelta(hours=1)) for at in (after, before))
    assert low - 0.001 <= scans["projectedQuantity"] <= high + 0.001
    over = scans["projectedQuantity"] - 50
    assert abs(scans["estimatedAmount"] - over * 5 / 100) <= Decimal("0.005")
    usage = exact(root.get("/api/usage/org_est"))
    assert found["estimatedAmount"] >= usage["totalOverageAmount"] == Decimal("1.50")
    assert found["estimatedAmount"] == sum(each["estimatedAmount"] for each in found["features"])


def test_amounts_in_several_currencies_are_not_added_up(root: httpx.Client) -> None:
    root.post("/api/usage/org_two/quota", json={"feature": "EMAIL_SENT", "pricePerUnit": 2, "currency": "EUR"})
    root.post("/api/usage/org_two/quota", json={"feature": "PDF_EXPORT", "pricePerUnit": 3, "currency": "JPY"})
    events = [{"feature": "EMAIL_SENT"}, {"feature": "PDF_EXPORT"}]
    exact(root.post("/api/usage/track", json={"organizationId": "org_two", "events": events}))
    found = exact(root.get("/api/usage/org_two?features=EMAIL_SENT,PDF_EXPORT"))
    assert found["totalOverageAmount"] is None
    assert found["byCurrency"] == {"EUR": Decimal("0.02"), "JPY": 3}


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/api/usage/track", b"{", 400, "invalid_json"),
        ("/api/usage/track", {"feature": "OCR_SCAN"}, 422, "invalid_request"),
        ("/api/usage/track", {"organizationId": "o"}, 422, "invalid_request"),
        (
            "/api/usage/track",
            {"organizationId": "o", "organisationId": "p", "feature": "OCR_SCAN"},
            422,
            "invalid_request",
        ),
        ("/api/usage/track", {"organizationId": "o", "feature": "OCR_SCANS_OF_MINE"}, 404, "unknown_metric"),
        ("/api/usage/track", {"organizationId": "o", "feature": "OCR_SCAN", "quantity": "x"}, 400, "invalid_events"),
        ("/api/usage/track", {"organizationId": "o", "feature": "OCR_SCAN", "amount": 1}, 400, "invalid_events"),
        ("/api/usage/track", {"organizationId": "o", "events": []}, 422, "invalid_request"),
        ("/api/usage/track", {"organizationId": "o", "events": [{"feature": 1}]}, 422, "invalid_request"),
        ("/api/usage/o/quota", {"feature": "OCR_SCAN"}, 422, "invalid_request"),
        ("/api/usage/o/quota", {"feature": "none", "pricePerUnit": 5}, 404, "unknown_metric"),
        ("/api/usage/o/quota", {"feature": "OCR_SCAN", "pricePerUnit": "5"}, 422, "invalid_request"),
        ("/api/usage/o/quota", {"feature": "OCR_SCAN", "pricePerUnit": -5}, 422, "invalid_request"),
        ("/api/usage/o/quota", {"feature": "OCR_SCAN", "pricePerUnit": 5, "currency": "?"}, 422, "invalid_request"),
        (
            "/api/usage/o/quota",
            {"feature": "SMS", "pricePerUnit": 5, "resetPeriod": "WEEKLY"},
            422,
            "invalid_request",
        ),
        (
            "/api/usage/o/quota",
            {"organizationId": "p", "feature": "SMS", "pricePerUnit": 5},
            422,
            "invalid_request",
        ),
        ("/usage/report", {"service": "analytics", "usage_type": "query", "quantity": 1}, 422, "invalid_request"),
        ("/usage/report", {"tenant_id": "t", "service": "a", "usage_type": "b", "quantity": 1}, 404, "unknown_metric"),
        ("/api/billing/track/order", {"quantity": 1}, 422, "invalid_request"),
        (f"/api/billing/track/orders?companyId={COMPANY}", {}, 404, "unknown_metric"),
        (f"/api/billing/track/order?companyId={COMPANY}", {"quantity": 1e30}, 400, "invalid_events"),
    ],
)
def test_a_wrong_request_is_refused_and_says_why(
    root: httpx.Client, path: str, body: Any, status: int, code: str
) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    error(root.post(path, content=content, headers={"Content-Type": "application/json"}), status, code)


def test_a_request_that_is_sent_again_with_its_key_counts_once(root: httpx.Client) -> None:
    body = {"organizationId": "org_twice", "feature": "OCR_SCAN", "quantity": 4, "timestamp": iso(month()[0])}
    ids = {exact(root.post("/api/usage/track", json=body, headers={"Idempotency-Key": "once"}))["id"] for _ in range(3)}
    assert len(ids) == 1
    assert exact(root.get("/api/usage/org_twice?features=OCR_SCAN"))["features"][0]["totalQuantity"] == 4


# document 4


def test_the_manual_examples_of_document_4_with_the_body_that_curl_sends(installed: Documents) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    with installed.client("admin", COMPANY) as company:
        before = exact(company.get("/api/billing/usage/current"))["metrics"]["orders"]
        tracked = exact(company.post("/api/billing/track/order", content='{"quantity": 5}', headers=form))
        assert (tracked["success"], tracked["quantity"], tracked["cost"]) == (True, 5, Decimal("0.50"))
        usage = exact(company.get("/api/billing/usage/current"))
        orders = usage["metrics"]["orders"]
        assert orders["count"] - before["count"] == 5
        assert orders["cost"] - before["cost"] == Decimal("0.50")
        assert usage["companyId"] == COMPANY
        report = company.post("/api/billing/report-to-stripe")
        assert "billing" in error(report, 501, "not_implemented")["message"]
    with installed.client("finance", COMPANY) as finance:
        error(finance.post("/api/billing/report-to-stripe"), 403, "permission_denied")


def test_ten_orders_are_counted_and_cost_one(installed: Documents, root: httpx.Client) -> None:
    price = {"metric": "order", "tenant_id": "comp-10", "included": "0", "price_per_unit": "0.10", "currency": "USD"}
    assert root.put("/v1/quotas", json=price).status_code == 201
    with installed.client("producer", "comp-10") as company:
        sent = exact(company.post("/api/billing/track/order", json={"quantity": 10, "metadata": {"orderId": "o-1"}}))
        assert (sent["companyId"], sent["metadata"]) == ("comp-10", {"orderId": "o-1"})
    with installed.client("viewer", "comp-10") as viewer:
        usage = exact(viewer.get("/api/billing/usage/current"))
        assert usage["metrics"]["orders"]["count"] == 10
        assert usage["metrics"]["orders"]["cost"] == Decimal("1.00")
        assert usage["totalUsageCost"] == usage["totalCost"] == usage["grandTotal"] == 1
        assert usage["baseFee"] == 0
        assert any("plan" in note for note in usage["notes"])
        assert any("invoices" in note for note in usage["notes"])
        analytics = exact(viewer.get("/api/billing/analytics"))
        assert analytics["projectedCost"] >= analytics["currentMonth"]["totalCost"]
        if month()[1] - datetime.now(UTC) > timedelta(hours=1):
            assert analytics["projectedCost"] > analytics["currentMonth"]["totalCost"]


def test_the_example_bill_of_a_finished_month_but_for_its_base_fee(root: httpx.Client) -> None:
    used = {"order": "1250", "invoice": "980", "api_call": "50000", "ai_job": "120"}
    for metric, quantity in used.items():
        body = {"quantity": quantity, "timestamp": "2025-01-20T12:00:00Z"}
        sent = exact(root.post(f"/api/billing/track/{metric}", params={"companyId": COMPANY}, json=body))
        assert sent["cost"] == Decimal(quantity) * Decimal(PRICES[metric])
    body = {"quantity": "45", "timestamp": "2025-01-01T00:00:00Z"}
    assert exact(root.post(f"/api/billing/track/storage?companyId={COMPANY}", json=body))["cost"] is None
    query = {"companyId": COMPANY, "startDate": "2025-01-01", "endDate": "2025-01-31"}
    found = exact(root.get("/api/billing/usage/range", params=query))
    assert {name: (each["count"], each["cost"]) for name, each in found["metrics"].items()} == {
        "orders": (1250, Decimal("125.00")),
        "invoices": (980, Decimal("49.00")),
        "storage": (45, Decimal("45.00")),
        "apiCalls": (50000, Decimal("0.50")),
        "aiJobs": (120, Decimal("60.00")),
    }
    assert found["totalUsageCost"] == Decimal("279.50")
    assert (found["startDate"], found["endDate"]) == ("2025-01-01T00:00:00.000Z", "2025-02-01T00:00:00.000Z")
    # half of the month: storage has cost half of it, and its level is what it is
    half = exact(root.get("/api/billing/usage/range", params={**query, "endDate": "2025-01-16T12:00:00Z"}))
    assert (half["metrics"]["storage"]["count"], half["metrics"]["storage"]["cost"]) == (45, Decimal("22.50"))
    assert half["metrics"]["orders"]["count"] == 0


def test_this_month_is_held_against_the_last_one(installed: Documents, root: httpx.Client) -> None:
    start = month()[0]
    month_of: dict[str, tuple[int, int]] = {"order": (100, 115), "ai_job": (10, 5)}
    events = [
        {"feature": metric, "quantity": quantity, "timestamp": iso(at)}
        for metric, quantities in month_of.items()
        for at, quantity in zip((start - timedelta(days=1), start), quantities, strict=True)
    ]
    exact(root.post("/api/usage/track", json={"organizationId": "comp-t", "events": events}))
    for metric in month_of:
        price = {"metric": metric, "tenant_id": "comp-t", "included": "0", "price_per_unit": "1", "currency": "USD"}
        assert root.put("/v1/quotas", json=price).status_code == 201
    with installed.client("viewer", "comp-t") as viewer:
        found = exact(viewer.get("/api/billing/analytics"))
    assert (found["trend"]["orders"], found["trend"]["aiJobs"], found["trend"]["invoices"]) == (15, -50, None)
    assert (found["currentMonth"]["totalCost"], found["lastMonth"]["totalCost"]) == (120, 110)
    assert found["trend"]["cost"] == round((found["projectedCost"] - 110) / 110 * 100, 2)
    assert found["lastMonth"]["endDate"] == found["currentMonth"]["startDate"] == iso(start)


def test_prices_are_the_companys_own_where_it_has_some(installed: Documents) -> None:
    with installed.client("viewer", COMPANY) as company, installed.client("producer", "elsewhere") as other:
        own = exact(company.get("/api/billing/pricing"))["metrics"]
        assert {each["metric"]: each["rate"] for each in own.values()} == {
            metric: Decimal(price) for metric, price in PRICES.items()
        }
        assert own["orders"]["description"] == "Per order created and processed"
        everybody = exact(other.get("/api/billing/pricing"))["metrics"]
        assert (everybody["orders"]["rate"], everybody["apiCalls"]["rate"]) == (None, Decimal("0.001"))
        error(other.get("/api/billing/pricing", params={"companyId": COMPANY}), 403, "permission_denied")


def test_what_a_company_stores_is_measured_by_an_administrator(installed: Documents) -> None:
    with installed.client("admin", COMPANY) as admin, installed.client("viewer", COMPANY) as viewer:
        error(viewer.post("/api/billing/calculate-storage"), 403, "permission_denied")
        found = exact(admin.post("/api/billing/calculate-storage"))
    assert found["gb"] == found["cost"] == Decimal(STORED) / 10**9
    assert (found["companyId"], found["unit"], found["currency"]) == (COMPANY, "GB", "USD")


def test_a_company_is_named_by_who_stands_for_several_and_no_foreign_one_is_reached(
    installed: Documents, root: httpx.Client
) -> None:
    error(root.get("/api/billing/usage/current"), 422, "invalid_request")
    with installed.client("viewer", "comp-a") as viewer, installed.client("producer", "comp-a") as producer:
        for path in ("/api/billing/usage/current", "/api/billing/usage/range", "/api/billing/analytics"):
            assert exact(viewer.get(path))
            error(viewer.get(path, params={"companyId": COMPANY}), 403, "permission_denied")
        for path in (f"/api/usage/{COMPANY}", f"/billing/usage/{COMPANY}", f"/billing/invoice/{COMPANY}"):
            error(viewer.get(path), 403, "permission_denied")
        for path, body in (
            (f"/api/billing/track/order?companyId={COMPANY}", {"quantity": 1}),
            ("/api/usage/track", {"organizationId": COMPANY, "feature": "OCR_SCAN"}),
            ("/usage/report", {"tenant_id": COMPANY, "service": "analytics", "usage_type": "query", "quantity": 1}),
        ):
            error(producer.post(path, json=body), 403, "permission_denied")
        # and who stands for one need not name it
        sent = {"service": "analytics", "usage_type": "query", "quantity": 1}
        assert exact(producer.post("/usage/report", json=sent))["tenant_id"] == "comp-a"
        assert exact(producer.post("/api/usage/track", json={"feature": "OCR_SCAN"}))["organizationId"] == "comp-a"


def test_billing_is_as_well_as_everything_else(root: httpx.Client) -> None:
    found = httpx.get(root.base_url.join("/api/billing/health"), trust_env=False)
    assert found.status_code == 200, found.text
    assert found.json().keys() == root.get("/health").json().keys()


def test_each_call_of_a_companys_key_is_usage_of_the_company(installed: Documents, root: httpx.Client) -> None:
    with installed.client("viewer", "caller") as viewer, installed.client("producer", "caller") as producer:
        for _ in range(3):
            exact(viewer.get("/api/billing/usage/current"))
        exact(viewer.get("/api/usage/caller?features=OCR_SCAN"))
        assert viewer.post("/v1/events", json=[]).status_code == 403  # where usage is sent is not counted
        exact(producer.post("/api/usage/track", json={"feature": "OCR_SCAN"}))
        record = {"metricKey": "ocr_scan", "subjectType": "org", "subjectId": "caller", "quantity": 1}
        exact(producer.post("/api/metering/usage.record", json=record))
        assert viewer.get("/health/live").status_code == 200

    def counted() -> dict[str, int]:
        rows = installed.query(
            "SELECT properties['endpoint'] AS path, properties['method'] AS method, count() AS n "
            "FROM {db}.usage_events WHERE tenant_id = 'caller' AND metric = 'own_calls' GROUP BY path, method"
        )
        return {f"{row['method']} {row['path']}": int(row["n"]) for row in rows}

    wanted = {"GET /api/billing/usage/current": 3, "GET /api/usage/{organizationId}": 1}
    wait_until(lambda: counted() == wanted, 30, lambda: f"{counted()} is {wanted}")


# document 5


def test_the_example_of_document_5_as_it_is_written(installed: Documents, root: httpx.Client) -> None:
    report = {
        "tenant_id": "tenant-123",
        "service": "marketplace",
        "usage_type": "wpk_upload",
        "quantity": 1.0,
        "timestamp": 1640995200,
    }
    for _ in range(5):
        found = exact(root.post("/usage/report", json=report))
        assert found.pop("id")
        assert found == {
            "status": "recorded",
            "tenant_id": "tenant-123",
            "quantity": 1,
            "message": "Usage recorded successfully",
        }
    with installed.client("viewer", "tenant-123") as viewer:
        query = {"from": "1640995200", "to": "1641081600"}
        invoice = exact(viewer.get("/billing/invoice/tenant-123", params=query))
        assert invoice.pop("unpriced") == []
        assert [item.pop("included") for item in invoice["items"]] == [0]
        assert invoice == {
            "id": "inv_tenant-123_1640995200",
            "tenant_id": "tenant-123",
            "period_start": 1640995200,
            "period_end": 1641081600,
            "items": [
                {
                    "service": "marketplace",
                    "usage_type": "wpk_upload",
                    "quantity": 5,
                    "rate": Decimal("0.10"),
                    "amount": Decimal("0.50"),
                }
            ],
            "total_amount": Decimal("0.50"),
            "currency": "USD",
            "status": "generated",
        }
        summary = exact(viewer.get("/billing/usage/tenant-123", params=query))
    assert summary["services"] == {
        "marketplace": {
            "wpk_upload": {"quantity": 5, "records": 5, "unit": "", "previous_quantity": 0, "change_percent": None}
        }
    }
    assert (summary["total_quantity"], summary["total_records"]) == (5, 5)


def test_every_rate_of_document_5_is_charged_once_per_line(root: httpx.Client) -> None:
    rng = random.Random(5)
    wanted: dict[str, Decimal] = defaultdict(Decimal)
    day = 1_736_899_200  # 2025-01-15
    for n in range(0, 45, 4):
        metric = rng.choice(sorted(RATES))
        service, usage_type = metric.split(".")
        quantity = Decimal(rng.randrange(1, 10**5)) / 1000
        report = {"tenant_id": "t5", "service": service, "usage_type": usage_type, "timestamp": day + 3600 * n}
        body = json.dumps(report)[:-1] + f', "quantity": {quantity}}}'
        assert root.post("/usage/report", content=body).status_code == 200
        wanted[metric] += quantity
    invoice = exact(root.get("/billing/invoice/t5", params={"from": "2025-01-15", "to": str(day + 48 * 3600)}))
    amounts = {metric: round(wanted[metric] * Decimal(rate), 2) for metric, rate in RATES.items()}
    assert {f"{item['service']}.{item['usage_type']}": item["quantity"] for item in invoice["items"]} == wanted
    assert {f"{item['service']}.{item['usage_type']}": item["amount"] for item in invoice["items"]} == amounts
    assert invoice["total_amount"] == sum(amounts.values())
    usage = exact(root.get("/billing/usage/t5", params={"from": str(day + 24 * 3600), "to": str(day + 48 * 3600)}))
    assert usage["total_records"] == 6
    by_type = {
        f"{service}.{usage_type}": each
        for service, types in usage["services"].items()
        for usage_type, each in types.items()
    }
    for metric, quantity in wanted.items():
        assert by_type[metric]["quantity"] + by_type[metric]["previous_quantity"] == quantity
    assert sum((each["quantity"] for each in usage["trend"]), Decimal(0)) == usage["total_quantity"]


def test_what_has_no_price_is_not_charged_and_stands_apart_and_currencies_are_not_mixed(root: httpx.Client) -> None:
    events = [
        {"feature": "own_calls", "quantity": 3},
        {"feature": "marketplace.wpk_upload", "quantity": 2},
        {"feature": "EMAIL_SENT", "quantity": 1},
    ]
    exact(root.post("/api/usage/track", json={"organizationId": "mixed", "events": events}))
    root.post("/api/usage/mixed/quota", json={"feature": "EMAIL_SENT", "pricePerUnit": 7, "currency": "EUR"})
    assert "currency=" in error(root.get("/billing/invoice/mixed"), 409, "conflict")["message"]
    invoice = exact(root.get("/billing/invoice/mixed?currency=EUR"))
    assert (invoice["total_amount"], invoice["currency"]) == (Decimal("0.07"), "EUR")
    assert invoice["unpriced"] == [{"service": "", "usage_type": "own_calls", "quantity": 3}]
    assert exact(root.get("/billing/invoice/mixed?currency=USD"))["total_amount"] == Decimal("0.20")


def test_health_and_metrics_of_document_5_need_no_key(installed: Documents, root: httpx.Client) -> None:
    assert httpx.get(root.base_url.join("/health"), trust_env=False).status_code == 200
    report = {"service": "marketplace", "usage_type": "wpk_upload", "quantity": 1, "timestamp": int(time.time())}
    for number in range(4):
        exact(root.post("/usage/report", json={**report, "tenant_id": f"active-{number}"}))
        with installed.client("viewer", f"active-{number}") as caller:
            assert caller.get("/v1/caller").status_code == 200
    sums = "SELECT sum(accepted) AS records FROM {db}.usage_freshness"
    least = int(installed.query(sums)[0]["records"])
    found = httpx.get(root.base_url.join("/metrics"), trust_env=False)
    assert found.status_code == 200
    numbers = dict(line.rsplit(" ", 1) for line in found.text.splitlines() if not line.startswith("#"))
    most = int(installed.query(sums)[0]["records"])
    assert least <= float(numbers["meterline_usage_records"]) <= most
    active = f"SELECT uniqExact(tenant_id) AS n FROM {{db}}.usage_hourly WHERE hour >= '{month()[0]:%Y-%m-%d %H:%M:%S}'"
    assert float(numbers["meterline_active_tenants"]) == int(installed.query(active)[0]["n"]) > 3
    counted = 'meterline_api_tracked_calls_total{outcome="counted"} '

    def tracked() -> bool:
        told = httpx.get(root.base_url.join("/metrics"), trust_env=False).text.splitlines()
        return any(float(line.removeprefix(counted)) > 3 for line in told if line.startswith(counted))

    wait_until(tracked, 30, "the calls of four tenants are counted")
