"""/v1/plans and the plan of a tenant over HTTP on a real broker, and what the topics hold then."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from meterline_api.app import create_app
from meterline_api.settings import ApiSettings
from meterline_deploy.catalog_file import parse
from meterline_deploy.defaults import Default, read_default
from meterline_schemas.audit import entry as audit
from meterline_schemas.settings import ClickHouseSettings, JudgeSettings, KafkaSettings
from tests.api.catalog import config, problem
from tests.api.process import ApiProcess
from tests.services.kafka import create_topics
from tests.support.cluster import read_all

PER_CALL = {"model": "per_unit", "unit_price": "0.01", "per": "1000"}
CHARGES = [{"metric": "calls", "included": "1000", "price": PER_CALL}]


@pytest.fixture(scope="module")
def module_prefix() -> str:
    return f"plans-{uuid.uuid4().hex[:8]}."


@pytest.fixture(scope="module")
def api(kafka: str, module_prefix: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    """With the metric `calls` (count)."""
    create_topics(kafka, module_prefix, 2)
    process = ApiProcess(kafka, module_prefix, None, tmp_path_factory.mktemp("api"))
    process.start()
    assert process.client.post("/v1/metrics", json={"key": "calls", "aggregation": "count"}).status_code == 201
    yield process
    assert process.stop() == 0
    assert "Traceback" not in process.log()


def define(api: ApiProcess, **fields: Any) -> dict[str, Any]:
    given = {"id": f"p-{uuid.uuid4().hex[:8]}", "currency": "EUR", "versions": [{"charges": CHARGES}], **fields}
    answer = api.client.post("/v1/plans", json=given)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def put(api: ApiProcess, tenant: str, **wish: Any) -> httpx.Response:
    return api.client.put(f"/v1/tenants/{tenant}/plan", json=wish)


def ahead(days: int = 30) -> str:
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=days)
    return at.isoformat().replace("+00:00", "Z")


def test_a_plan_is_defined_read_changed_and_deleted(api: ApiProcess) -> None:
    made = define(api, name="Team", period="BILLING")
    assert (made["version"], made["period"]) == (1, "billing")
    assert made["versions"][0] == {
        "start": None,
        "base_fee": "0",
        "charges": [
            {
                "metric": "calls", "name": "", "description": "", "price": PER_CALL, "measure": "as_metered",
                "included": "1000", "discount_percent": "0", "minimum": None, "cap": None,
            }
        ],
    }  # fmt: skip
    path = f"/v1/plans/{made['id']}"
    assert api.client.get(path).json() == made
    assert made in api.client.get("/v1/plans").json()["data"]
    changed = api.client.patch(path, json={"name": "Teams", "description": "For teams"}).json()
    assert (changed["name"], changed["versions"], changed["version"]) == ("Teams", made["versions"], 2)
    problem(api.client.post("/v1/plans", json={**made, "version": 1, "changed_at": None}), 409, "conflict")
    assert api.client.delete(path).status_code == 204
    for answer in (api.client.get(path), api.client.delete(path), api.client.patch(path, json={})):
        problem(answer, 404, "not_found")


def test_prices_are_exact_text_however_they_are_sent(api: ApiProcess) -> None:
    body = (
        '{"id": "exact", "currency": "USD", "versions": [{"base_fee": 0.1, "charges": [{"metric": "calls", '
        '"price": {"model": "per_unit", "unit_price": 123456789012345678.123456789}}]}]}'
    )
    (version,) = api.client.post("/v1/plans", content=body).json()["versions"]
    assert version["base_fee"] == "0.1"
    assert version["charges"][0]["price"]["unit_price"] == "123456789012345678.123456789"


def test_a_version_to_come_is_added_and_one_that_has_begun_stays(
    api: ApiProcess, kafka: str, module_prefix: str
) -> None:
    made = define(api)
    path, first = f"/v1/plans/{made['id']}", made["versions"][0]
    dearer = {"start": ahead(), "base_fee": "5"}
    free = api.client.patch(path, json={"versions": [{**first, "base_fee": "1"}]})
    assert free.status_code == 200, "nobody was ever on it"
    first = free.json()["versions"][0]
    assert put(api, "v-acme", plan=made["id"]).status_code == 200
    added = api.client.patch(path, json={"versions": [first, dearer]})
    assert [version["base_fee"] for version in added.json()["versions"]] == ["1", "5"]
    before = config(kafka, module_prefix)
    for versions, field in (
        ([dearer | {"start": None}], "versions.0"),
        ([first, {"start": "2026-01-01T00:00:00Z"}], "versions.1.start"),
    ):
        told = problem(api.client.patch(path, json={"versions": versions}), 409, "meaning_would_change")
        assert told.keys() == {field}
    assert "currency" in problem(api.client.patch(path, json={"currency": "USD"}), 409, "meaning_would_change")
    assert "v-acme" in problem(api.client.delete(path), 409, "in_use")["id"]
    assert config(kafka, module_prefix) == before


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"currency": "ABC"}, {"currency": "ISO 4217"}),
        (
            {"versions": [{"charges": [{"metric": "none", "price": PER_CALL}]}]},
            {"versions.0.charges.0.metric": "define"},
        ),
        (
            {"versions": [{"charges": [{**CHARGES[0], "measure": "unit_months"}]}]},
            {"versions.0.charges.0.measure": "time_weighted"},
        ),
        (
            {"versions": [{"charges": [{**CHARGES[0], "price": {"model": "magic"}}]}]},
            {"versions.0.charges.0.price.model": "choose one of 'per_unit'"},
        ),
        ({"period": "hourly", "versions": [{}, {"start": "x"}]}, {"period": "monthly", "versions.1.start": "zone"}),
    ],
)
def test_every_mistake_is_told_and_nothing_is_written(
    api: ApiProcess, kafka: str, module_prefix: str, fields: dict[str, Any], wrong: dict[str, str]
) -> None:
    before = config(kafka, module_prefix)
    body = {"id": "wrong", "currency": "EUR", "versions": [{}], **fields}
    told = problem(api.client.post("/v1/plans", json=body), 422, "invalid_request")
    assert told.keys() == wrong.keys()
    assert all(part in told[field] for field, part in wrong.items()), told
    assert config(kafka, module_prefix) == before


def test_a_metric_that_a_plan_charges_is_not_deleted(api: ApiProcess) -> None:
    answer = api.client.delete("/v1/metrics/calls")
    assert answer.status_code in (409, 503), "whether it has usage is asked first"


def test_a_tenant_is_put_on_a_plan_now_and_on_another_later(api: ApiProcess) -> None:
    one, two, tenant = define(api)["id"], define(api)["id"], "eu%2Facme"
    empty = api.client.get(f"/v1/tenants/{tenant}/plan").json()
    assert empty == {"tenant_id": "eu/acme", "plan": None, "spans": [], "version": 0, "changed_at": None}
    earliest = datetime.now(UTC).replace(microsecond=0)
    now = put(api, tenant, plan=one).json()
    assert (now["tenant_id"], now["plan"], now["version"]) == ("eu/acme", one, 1)
    start = datetime.fromisoformat(now["spans"][0]["start"])
    assert (start.microsecond, earliest <= start <= datetime.now(UTC)) == (0, True)
    later = put(api, tenant, plan=two, start=ahead()).json()
    assert (later["plan"], [span["plan"] for span in later["spans"]]) == (one, [one, two])
    assert later["spans"][1]["start"] == ahead()[:10] + later["spans"][1]["start"][10:]
    left = put(api, tenant, plan=None, start=ahead(3)).json()
    assert [span["plan"] for span in left["spans"]] == [one, None], "what was to follow is taken back"
    again = put(api, tenant, plan=None, start=ahead(5)).json()
    assert again == left, "it says what is there already"
    assert api.client.get(f"/v1/tenants/{tenant}/plan").json() == left


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"plan": "none-such"}, "plan"),
        ({}, "plan"),
        ({"plan": None, "start": "2026-11-01"}, "start"),
        ({"plan": None, "start": "2026-11-01T00:00:00.5Z"}, "start"),
        ({"plan": None, "start": "0001-01-01T00:00:00+14:00"}, "start"),
        ({"plan": None, "from": "2026-11-01T00:00:00Z"}, "from"),
    ],
)
def test_a_wish_that_cannot_be_taken_is_refused(api: ApiProcess, wish: dict[str, Any], field: str) -> None:
    assert problem(put(api, "w", **wish), 422, "invalid_request").keys() == {field}
    assert api.client.get("/v1/tenants/w/plan").json()["spans"] == []


def test_every_change_is_in_the_audit_log(api: ApiProcess, kafka: str, module_prefix: str) -> None:
    made = define(api)
    put(api, "a-acme", plan=made["id"])
    entries = [audit.decode(each.value() or b"") for each in read_all(kafka, module_prefix + "meterline.audit")]
    told = {(each.action, each.resource_id, each.tenant_id): each for each in entries}
    assert json.loads(bytes(told["plan.created", made["id"], ""].after))["currency"] == "EUR"
    assert json.loads(bytes(told["tenant_plan.created", "a-acme", "a-acme"].after))["spans"][0]["plan"] == made["id"]


def test_a_key_of_a_tenant_reads_its_plan_and_no_other(api: ApiProcess) -> None:
    own, other = define(api), define(api)
    put(api, "k-acme", plan=own["id"])
    made = {
        role: api.client.post("/v1/keys", json={"role": role, "tenants": ["k-acme"]}) for role in ("viewer", "admin")
    }
    viewer, admin = ({"Authorization": f"Bearer {each.json()['key']}"} for each in made.values())
    assert api.client.get("/v1/plans", headers=viewer).json() == {"data": [own]}
    assert api.client.get(f"/v1/plans/{own['id']}", headers=viewer).json() == own
    problem(api.client.get(f"/v1/plans/{other['id']}", headers=viewer), 404, "not_found")
    problem(api.client.get("/v1/tenants/other/plan", headers=viewer), 403, "permission_denied")
    for headers, status, code in ((viewer, 403, "permission_denied"), (admin, 422, "invalid_request")):
        answer = api.client.put("/v1/tenants/k-acme/plan", json={"plan": other["id"]}, headers=headers)
        problem(answer, status, code)


def test_how_a_tenant_is_billed_is_one_thing(api: ApiProcess) -> None:
    made = api.client.post("/v1/tenants", json={"id": "b1", "billing": "Meter", "stripe_customer": "cus_b1"}).json()
    assert (made["billing"], made["stripe_customer"], made["excluded"]) == ("meter", "cus_b1", "")
    again = api.client.post("/v1/tenants", json={"id": "b2", "stripe_customer": "cus_b1"})
    assert "b1" in problem(again, 409, "conflict")["stripe_customer"]
    for billing in ("meter", "invoice_items", "both"):
        problem(api.client.post("/v1/tenants", json={"id": "b2", "billing": billing}), 422, "invalid_request")
    excluded = api.client.patch("/v1/tenants/b1", json={"billing": "none", "excluded": "test tenant"}).json()
    assert (excluded["billing"], excluded["excluded"]) == ("none", "test tenant")


def test_document_4_shows_what_the_plan_of_a_company_costs(api: ApiProcess) -> None:
    written, problems = parse(read_default(Default.PLAN_ORDER_MANAGEMENT))
    assert not problems
    for each in written:
        entry = each.entry.model_dump(mode="json", exclude={"version", "changed_at"})
        path = "plans" if each.entry.kind == "plan" else "metrics"
        assert api.client.post(f"/v1/{path}", json=entry).status_code == 201
    asked = {"companyId": "lab"}
    without = api.client.get("/api/billing/pricing", params=asked).json()
    assert (without["plan"], without["baseFee"], without["metrics"]["orders"]["rate"]) == (None, 0, None)
    put(api, "lab", plan="order-management")
    text = api.client.get("/api/billing/pricing", params=asked).text
    found = json.loads(text, parse_float=Decimal)
    assert (found["plan"], found["baseFee"], found["notes"]) == ("order-management", 199, [])
    shown = {name: (each["rate"], each["currency"], each["description"]) for name, each in found["metrics"].items()}
    assert shown == {
        "orders": (Decimal("0.1"), "USD", "Per order created and processed"),
        "invoices": (Decimal("0.05"), "USD", "Per invoice generated"),
        "storage": (1, "USD", "OMA files, images, documents, backups"),
        "apiCalls": (Decimal("0.00001"), "USD", "Public API usage (developer platform)"),
        "aiJobs": (Decimal("0.5"), "USD", "AI forecasting, anomaly detection, recommendations"),
    }
    assert found["metrics"]["apiCalls"]["price"] == PER_CALL


def test_a_body_is_described_whole_and_wants_no_field_that_has_a_default() -> None:
    settings = ApiSettings.model_validate({"key": "k"})
    document = create_app(settings, KafkaSettings(), ClickHouseSettings(), JudgeSettings()).openapi()
    body = document["paths"]["/v1/plans"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["required"] == ["id", "currency", "versions"]
    version = body["properties"]["versions"]["items"]
    assert "required" not in version
    assert set(version["properties"]["charges"]["items"]["required"]) == {"metric", "price"}
    assert document["paths"]["/v1/tenants/{id}/plan"].keys() == {"get", "put"}
