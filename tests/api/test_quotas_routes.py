"""/v1/quotas, thresholds, tenants and webhooks over HTTP on a real broker, and what the topic holds then."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from meterline_schemas.catalog import Entry, Quota, Tenant, Threshold, Webhook
from tests.api.catalog import config, problem, store
from tests.api.process import ApiProcess
from tests.services.kafka import create_topics
from tests.support.streams import wait_until

PATHS = ("quotas", "thresholds", "webhooks", "tenants")


@pytest.fixture(scope="module")
def module_prefix() -> str:
    return f"quotas-{uuid.uuid4().hex[:8]}."


@pytest.fixture(scope="module")
def api(kafka: str, module_prefix: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    """With a metric `calls` (count), one `users` (unique count) and one `own` (of tenant acme alone)."""
    create_topics(kafka, module_prefix, 2)
    process = ApiProcess(kafka, module_prefix, None, tmp_path_factory.mktemp("api"))
    process.start()
    for metric in (
        {"key": "calls", "aggregation": "count"},
        {"key": "users", "aggregation": "unique_count", "unique_by": "subject"},
        {"key": "own", "tenant_id": "acme"},
    ):
        assert process.client.post("/v1/metrics", json=metric).status_code == 201
    yield process
    assert process.stop() == 0
    assert "Traceback" not in process.log()
    assert "whsec_" not in process.log()


@pytest.fixture(autouse=True)
def nothing_is_left(api: ApiProcess, kafka: str, module_prefix: str) -> Iterator[None]:
    """Each test begins with the metrics alone."""
    yield
    if any(listed(api, path) for path in PATHS):
        book = store(kafka, module_prefix).read()
        kinds: tuple[type[Entry], ...] = (Quota, Threshold, Tenant, Webhook)
        entries = [entry for kind in kinds for entry in book.all(kind)]
        store(kafka, module_prefix).change(lambda _book: [(entry, True) for entry in entries])
        wait_until(lambda: not any(listed(api, path) for path in PATHS), 30, "the catalog is empty")


def listed(api: ApiProcess, path: str, **query: str) -> list[dict[str, Any]]:
    answer = api.client.get(f"/v1/{path}", params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


def create(api: ApiProcess, path: str, **fields: Any) -> dict[str, Any]:
    answer = api.client.post(f"/v1/{path}", content=json.dumps(fields))
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


# quotas


def test_a_quota_is_named_by_an_id_that_stands_in_a_path_whatever_its_parts_are(api: ApiProcess) -> None:
    made = create(api, "quotas", metric="calls", tenant_id="a/b~?#é %2F", subject="user:u/1", included=50)
    assert api.client.get(f"/v1/quotas/{made['id']}").json() == made
    assert listed(api, "quotas") == [made]
    changed = api.client.patch(f"/v1/quotas/{made['id']}", json={"included": "60"}).json()
    assert (changed["included"], changed["version"], changed["id"]) == ("60", 2, made["id"])
    assert api.client.delete(f"/v1/quotas/{made['id']}").status_code == 204
    for answer in (api.client.get(f"/v1/quotas/{made['id']}"), api.client.delete(f"/v1/quotas/{made['id']}")):
        problem(answer, 404, "not_found")


def test_decimals_are_exact_text(api: ApiProcess) -> None:
    text = '{"metric": "calls", "included": 123456789012345678.123456789, "price_per_unit": 0.1, "currency": "EUR"}'
    answer = api.client.post("/v1/quotas", content=text)
    assert (answer.json()["included"], answer.json()["price_per_unit"]) == ("123456789012345678.123456789", "0.1")


def test_two_quotas_of_one_scope_would_overlap(api: ApiProcess, kafka: str, module_prefix: str) -> None:
    create(api, "quotas", metric="calls", included=5)
    create(api, "quotas", metric="calls", tenant_id="acme", included=5)
    before = config(kafka, module_prefix)
    for tenant in ({}, {"tenant_id": "acme"}):
        fields = {"metric": "calls", "included": 7, "period": "DAILY", **tenant}
        told = problem(api.client.post("/v1/quotas", json=fields), 409, "conflict")
        assert "overlap" in told["metric"]
    assert config(kafka, module_prefix) == before


def test_put_creates_a_quota_or_replaces_the_one_of_its_scope(api: ApiProcess) -> None:
    fields = {"metric": "calls", "tenant_id": "acme", "included": 5, "period": "Billing"}
    created = api.client.put("/v1/quotas", json=fields)
    assert (created.status_code, created.json()["period"]) == (201, "billing")
    replaced = api.client.put("/v1/quotas", json={"metric": "calls", "tenant_id": "acme", "included": 7})
    assert (replaced.status_code, replaced.json()["period"], replaced.json()["included"]) == (200, None, "7")
    assert listed(api, "quotas") == [replaced.json()]
    answer = api.client.patch(f"/v1/quotas/{replaced.json()['id']}", json={"tenant_id": "other"})
    problem(answer, 422, "invalid_request")


def test_entries_are_found_by_metric_tenant_and_subject(api: ApiProcess) -> None:
    scopes = [("calls", "", ""), ("calls", "acme", ""), ("calls", "acme", "user:1"), ("own", "acme", "")]
    for path, more in (("quotas", {"included": 1}), ("thresholds", {"amount": 1})):
        for metric, tenant_id, subject in scopes:
            create(api, path, metric=metric, tenant_id=tenant_id, subject=subject, **more)

        def found(path: str = path, **query: str) -> set[tuple[str, str, str]]:
            return {(one["metric"], one["tenant_id"], one["subject"]) for one in listed(api, path, **query)}

        assert found() == set(scopes)
        assert found(metric="calls") == set(scopes[:3])
        assert found(tenant_id="") == set(scopes[:1])
        assert found(tenant_id="acme", metric="calls") == set(scopes[1:3])
        assert found(subject="user:1") == set(scopes[2:3])
        assert found(metric="other") == set()


WRONG: list[tuple[str, dict[str, Any], dict[str, str]]] = [
    ("quotas", {}, {"metric": "is missing", "included": "is missing"}),
    ("quotas", {"metric": "other", "included": 1}, {"metric": "define the metric first"}),
    ("quotas", {"metric": "users", "included": 1}, {"metric": "time_weighted"}),
    ("quotas", {"metric": "own", "included": 1, "tenant_id": "x"}, {"tenant_id": "acme"}),
    ("quotas", {"metric": "calls", "included": -1}, {"": "negative"}),
    ("quotas", {"metric": "calls", "included": "1e40"}, {"included": "10^18"}),
    ("quotas", {"metric": "calls", "included": 1, "price_per_unit": "1"}, {"": "go together"}),
    ("quotas", {"metric": "calls", "included": 1, "subject": "user:1"}, {"": "tenant_id"}),
    ("quotas", {"metric": "calls", "included": 1, "time_zone": "Vienna"}, {"time_zone": "Europe/Vienna"}),
    (
        "quotas",
        {"metric": "calls", "included": "x", "period": "weekly", "time_zone": "/etc/passwd", "currency": "euro"},
        {"included": "decimal", "period": "monthly", "time_zone": "IANA", "currency": ""},
    ),
    ("thresholds", {"metric": "calls", "amount": 0}, {"amount": "above 0"}),
    ("thresholds", {"metric": "calls", "amount": -5}, {"amount": "above 0"}),
    ("thresholds", {"metric": "calls", "steps": [0]}, {"steps.0": "greater than 0"}),
    ("thresholds", {"metric": "calls", "action": "explode"}, {"action": "'alert', 'block', 'none'"}),
    ("thresholds", {"metric": "calls", "notify_webhooks": ["wh_none"]}, {"notify_webhooks": "define the webhook"}),
    ("thresholds", {"metric": "calls", "notify_emails": ["ops"]}, {"notify_emails": "ops@example.com"}),
    ("tenants", {"id": "acme", "time_zone": "Vienna"}, {"time_zone": "IANA"}),
    ("tenants", {"id": "acme", "billing_anchor": 32}, {"billing_anchor": "31"}),
    ("tenants", {"id": ""}, {"id": ""}),
    ("webhooks", {"url": "ftp://example.com"}, {"url": "http or https"}),
    ("webhooks", {"url": "https://a:b@example.com"}, {"url": "password"}),
    ("webhooks", {"url": "https://example.com", "secret": "short", "id": "a/b"}, {"secret": "", "id": ""}),
]


@pytest.mark.parametrize(("path", "fields", "wrong"), WRONG, ids=[f"{path}-{fields}" for path, fields, _ in WRONG])
def test_every_mistake_is_told_and_nothing_is_written(
    api: ApiProcess, kafka: str, module_prefix: str, path: str, fields: dict[str, Any], wrong: dict[str, str]
) -> None:
    before = config(kafka, module_prefix)
    told = problem(api.client.post(f"/v1/{path}", json=fields), 422, "invalid_request")
    assert told.keys() == wrong.keys()
    assert all(part in told[field] for field, part in wrong.items()), told
    assert config(kafka, module_prefix) == before


@pytest.mark.parametrize("path", PATHS)
def test_what_is_not_there_is_not_found_and_not_made(
    api: ApiProcess, kafka: str, module_prefix: str, path: str
) -> None:
    before = config(kafka, module_prefix)
    problem(api.client.get(f"/v1/{path}/none"), 404, "not_found")
    problem(api.client.patch(f"/v1/{path}/none", json={}), 404, "not_found")
    problem(api.client.delete(f"/v1/{path}/none"), 404, "not_found")
    assert config(kafka, module_prefix) == before


# thresholds


def test_a_threshold_gets_an_id_and_the_usual_steps(api: ApiProcess) -> None:
    made = create(api, "thresholds", metric="calls", tenant_id="acme", action="Block")
    assert made["id"].startswith("th_")
    assert (made["steps"], made["action"], made["amount"]) == (["80", "100"], "block", None)
    assert api.client.get(f"/v1/thresholds/{made['id']}").json() == made
    changed = api.client.patch(f"/v1/thresholds/{made['id']}", json={"steps": [100, "50.5", 50.5], "amount": 1.5})
    assert (changed.json()["steps"], changed.json()["amount"]) == (["50.5", "100"], "1.5")
    for amount in (0, "0.0", -1):
        answer = api.client.patch(f"/v1/thresholds/{made['id']}", json={"amount": amount})
        assert "above 0" in problem(answer, 422, "invalid_request")["amount"]
    assert api.client.get(f"/v1/thresholds/{made['id']}").json() == changed.json()
    assert api.client.delete(f"/v1/thresholds/{made['id']}").status_code == 204
    assert listed(api, "thresholds") == []


def test_an_id_of_ones_own_is_taken_once(api: ApiProcess) -> None:
    create(api, "thresholds", id="mine", metric="calls", amount=1)
    told = problem(api.client.post("/v1/thresholds", json={"id": "mine", "metric": "calls"}), 409, "conflict")
    assert "update it instead" in told["id"]


# tenants


def test_a_tenant_may_have_slashes_in_its_id(api: ApiProcess) -> None:
    created = api.client.put("/v1/tenants/eu%2Facme", json={"time_zone": "Europe/Vienna", "billing_anchor": 15})
    assert (created.status_code, created.json()["id"]) == (201, "eu/acme")
    assert api.client.get("/v1/tenants/eu/acme").json() == created.json()
    changed = api.client.patch("/v1/tenants/eu/acme", json={"name": "Acme"}).json()
    assert (changed["name"], changed["time_zone"], changed["version"]) == ("Acme", "Europe/Vienna", 2)
    replaced = api.client.put("/v1/tenants/eu/acme", json={})
    assert (replaced.status_code, replaced.json()["time_zone"]) == (200, "UTC")
    problem(api.client.put("/v1/tenants/eu/acme", json={"id": "other"}), 422, "invalid_request")
    problem(api.client.post("/v1/tenants", json={"id": "eu/acme"}), 409, "conflict")
    assert listed(api, "tenants") == [replaced.json()]
    assert api.client.delete("/v1/tenants/eu/acme").status_code == 204


# webhooks


def test_a_secret_is_shown_once(api: ApiProcess) -> None:
    made = create(api, "webhooks", url="https://example.com/hook", events=["threshold.exceeded"])
    secret = made.pop("secret")
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    assert made["id"].startswith("wh_")
    other = create(api, "webhooks", url="https://example.com/hook")
    assert other["secret"] != secret
    changed = api.client.patch(f"/v1/webhooks/{made['id']}", json={"enabled": False})
    got = api.client.get(f"/v1/webhooks/{made['id']}")
    assert got.json() == changed.json()
    assert got.json()["enabled"] is False
    everything = api.client.get("/v1/webhooks")
    assert len(everything.json()["data"]) == 2
    for answer in (changed, got, everything):
        assert "secret" not in answer.text
        assert "whsec_" not in answer.text


def test_a_secret_of_ones_own_is_kept_through_other_changes(api: ApiProcess, kafka: str, module_prefix: str) -> None:
    secret = "whsec_" + base64.b64encode(b"s" * 32).decode()
    made = create(api, "webhooks", id="mine", url="https://example.com", secret=secret)
    assert made["secret"] == secret
    api.client.patch("/v1/webhooks/mine", json={"description": "x"})
    assert json.loads(config(kafka, module_prefix)["webhook/mine"])["secret"] == secret


def test_a_webhook_that_a_threshold_names_is_not_deleted(api: ApiProcess, kafka: str, module_prefix: str) -> None:
    webhook = create(api, "webhooks", url="https://example.com")
    threshold = create(api, "thresholds", metric="calls", amount=1, notify_webhooks=[webhook["id"]])
    before = config(kafka, module_prefix)
    told = problem(api.client.delete(f"/v1/webhooks/{webhook['id']}"), 409, "in_use")
    assert threshold["id"] in told["id"]
    assert config(kafka, module_prefix) == before


@pytest.mark.parametrize("path", ["metrics", *PATHS])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_without_the_key_nobody_gets_in(api: ApiProcess, path: str, method: str) -> None:
    answer = api.client.request(method, f"/v1/{path}", headers={"Authorization": "Bearer wrong"}, content="{")
    problem(answer, 401, "unauthorized")
