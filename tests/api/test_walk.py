"""Every route with every role, and with the ids of a tenant that the caller does not reach.

The routes come from the application itself, their parameters and bodies from its OpenAPI document, so that a new route
is walked as soon as it is there. What another tenant has says ``hush`` or 987654321 somewhere; no answer may.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import SecretStr

from meterline_api.access.principal import Principal, Right
from meterline_api.access.routes import PUBLIC, guarded
from meterline_api.app import create_app
from meterline_api.opaque import opaque
from meterline_api.settings import ApiSettings
from meterline_schemas.catalog import (
    ApiKey,
    Entry,
    Metric,
    Plan,
    PlanVersion,
    Quota,
    Span,
    Tenant,
    TenantPlan,
    Threshold,
    Webhook,
    read_entry,
)
from meterline_schemas.roles import Role
from meterline_schemas.settings import ClickHouseSettings, JudgeSettings, KafkaSettings
from meterline_sinks.clickhouse import ClickHouse
from meterline_sinks.invoice_rows import invoice_row
from meterline_sinks.rows import notification_row
from tests.api.process import ApiProcess
from tests.notifier.harness import SECRET, crossed
from tests.producers.reading import events
from tests.services.kafka import create_topics
from tests.support.cluster import producer
from tests.support.invoices import invoice
from tests.support.late import insert_events
from tests.support.streams import wait_until

OURS, FOREIGN = "ours", "theirs"
LOUD = ("hush", "987654321")
NOW = datetime.now(UTC).replace(minute=30, second=0, microsecond=0)
TOLD = crossed(1, FOREIGN, metric="calls", subject="hush", threshold_id="th-quiet")
TENANT_NAMES = {
    *("tenant", "tenant_id", "tenantId", "org", "orgId", "organizationId", "organisationId", "companyId", "subjectId"),
    *("customer", "subject"),
}
ENTRIES: list[Entry] = [
    Metric(key="calls", group_by=("color",)),
    Metric(key="quiet-metric", tenant_id=FOREIGN, name="hush"),
    Tenant(id=FOREIGN, name="hush"),
    Tenant(id=OURS),
    read_entry(Quota, {"metric": "calls", "tenant_id": FOREIGN, "included": "987654321"}),
    read_entry(Threshold, {"id": "th-quiet", "metric": "calls", "tenant_id": FOREIGN, "amount": "987654321"}),
    Webhook(id="wh-quiet", url="https://example.com/hush", secret=SECRET, tenant_id=FOREIGN),
    Plan(id="quiet-plan", name="hush", currency="EUR", versions=(PlanVersion(base_fee=Decimal(987654321)),)),
    TenantPlan(tenant_id=FOREIGN, spans=(Span(start=datetime(2026, 1, 1, tzinfo=UTC), plan="quiet-plan"),)),
    read_entry(ApiKey, {"id": "quiet1", "role": "viewer", "tenants": [FOREIGN], "hash": "0" * 64, "name": "hush"}),
]
EVENT: dict[str, Any] = {
    "metric": "calls",
    "timestamp": (NOW - timedelta(minutes=20)).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
    "kafka_partition": 0,
    "kafka_line": 0,
    "received_at": NOW.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
}
# what stands in a path in the place of each parameter
IDS = {
    "/v1/quotas/{id}": opaque(Quota.identity_of(FOREIGN, "calls", "")),
    "/v1/thresholds/{id}": "th-quiet",
    "/v1/webhooks/{id}": "wh-quiet",
    "/v1/keys/{id}": "quiet1",
    "/v1/notifications/{id}": TOLD.id,
    "/v1/notifications/{id}/resend": TOLD.id,
    "/v1/tenants/{id}": FOREIGN,
    "/v1/tenants/{id}/plan": FOREIGN,
    "/v1/plans/{id}": "quiet-plan",
    "/v1/metrics/{key}": "quiet-metric",
    "/v1/events/{id}": "quiet-event",
    "/v1/invoices/{number}": "INV-000007",
    "/v1/invoices/{number}/void": "INV-000007",
}
BY_NAME = {
    **dict.fromkeys(TENANT_NAMES, FOREIGN),
    **dict.fromkeys(("metric", "key", "meter_id_or_slug"), "calls"),
    "group_by_key": "color",
}


class Call(NamedTuple):
    """A request as it is walked. ``names_foreign``: it asks for the other tenant in so many words."""

    method: str
    template: str
    path: str
    query: dict[str, str]
    body: Any
    media_type: str
    rights: frozenset[Right]
    names_foreign: bool

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.query or ''}"


@dataclass
class Walked:
    """An installation with two tenants, and a key of each role for one of them."""

    api: ApiProcess
    keys: dict[Role, str]
    client: httpx.Client

    def send(self, key: str | None, call: Call, **headers: str) -> httpx.Response:
        given = {"Authorization": f"Bearer {key}"} if key is not None else {}
        if call.body is not None:
            given["Content-Type"] = call.media_type
        return self.client.request(
            call.method,
            self.api.client.base_url.join(call.path),
            params=call.query,
            headers={**given, **headers},
            content=None if call.body is None else json.dumps(call.body),
        )


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return create_app(ApiSettings(key=SecretStr("k")), KafkaSettings(), ClickHouseSettings(), JudgeSettings())


@pytest.fixture(scope="module")
def prefix() -> str:
    return f"walk-{uuid.uuid4().hex[:8]}."


@pytest.fixture(scope="module")
def walked(
    kafka: str, prefix: str, module_database: ClickHouseSettings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Walked]:
    plant(module_database)
    create_topics(kafka, prefix, 2)
    sender = producer(kafka)
    for entry in ENTRIES:
        sender.produce(prefix + "meterline.config", entry.encode(), key=entry.record_key)
    assert sender.flush(30) == 0
    api = ApiProcess(kafka, prefix, module_database, tmp_path_factory.mktemp("api"), API_CALLER_LIMIT="")
    try:
        api.start()
        wait_until(lambda: api.client.get("/v1/tenants/theirs").status_code == 200, 30, "the catalog is known")
        keys = {}
        for role in Role:
            made = api.client.post("/v1/keys", json={"role": role, "tenants": [OURS]})
            keys[role] = made.json()["key"]
        with httpx.Client(trust_env=False, timeout=60) as client:
            yield Walked(api, keys, client)
        assert "Traceback" not in api.log()
        assert "internal error" not in api.log()
    finally:
        api.stop()


def plant(settings: ClickHouseSettings) -> None:
    """Events, totals, rejects and what was told, of both tenants."""
    edge = ClickHouse(settings, settings.database)
    planted = ((OURS, "my", "mine", "0"), (FOREIGN, "quiet", "hush", "987654321.5"))
    for n, (tenant, name, word, quantity) in enumerate(planted):
        event = {**EVENT, "tenant_id": tenant, "id": f"{name}-event", "quantity": quantity, "kafka_offset": n}
        more = {"subject": word, "source": word, "properties": {"color": word}}
        insert_events(edge, json.dumps({**event, **more}).encode())
        insert_events(edge, json.dumps({**event, **more, "id": f"{name}-late", "late": 1, "quantity": "0"}).encode())
        hour = {"hour": NOW.strftime("%Y-%m-%d %H:00:00"), "version": 1, "count": 1}
        folds = dict.fromkeys(("sum", "min", "max", "last"), quantity)
        last = {"last_timestamp": EVENT["timestamp"], "last_id": f"{name}-event"}
        total = {"tenant_id": tenant, "metric": "calls", "kafka_partition": 0, **hour, **folds, **last}
        edge.insert("usage_totals", json.dumps(total).encode())
        reject = {"kafka_topic": "usage.events", "kafka_partition": 0, "kafka_offset": 10 + n, "kafka_line": 0}
        said = {"reason": "invalid_event", "detail": word, "raw": f'{{"subject":"{word}"}}', "raw_encoding": "utf-8"}
        of = {"tenant_id": tenant, "metric": "calls", "id": f"{name}-reject", "received_at": EVENT["received_at"]}
        edge.insert("rejected_events", json.dumps({**reject, **said, **of}).encode())
    edge.insert(*invoice_row(0, *invoice(OURS, "INV-000006")))
    edge.insert(*invoice_row(1, *invoice(FOREIGN, "INV-000007", "hush", "987654321.50")))
    edge.insert(*notification_row(0, 0, TOLD.encode()))
    edge.close()


def calls(app: FastAPI) -> Iterator[Call]:
    """Every operation, with the other tenant wherever a tenant can be named, and without naming any."""
    document = app.openapi()
    for each in guarded(app):
        template = str(each.route.path_format)
        for method in sorted(each.route.methods or ()):
            operation = document["paths"][template][method.lower()]
            parameters = operation.get("parameters", [])
            for path, names in paths_of(template, parameters):
                query = {
                    one["name"]: FOREIGN for one in parameters if one["in"] == "query" and one["name"] in TENANT_NAMES
                }
                required = {
                    one["name"]: BY_NAME.get(one["name"], "1")
                    for one in parameters
                    if one["in"] == "query" and one.get("required")
                }
                body, media_type = body_of(operation)
                # elsewhere a subject is a user of a tenant
                named = names or bool(query.keys() - {"subject"}) or (bool(query) and "/api/v1/" in template)
                yield Call(
                    method, template, path, {**required, **query}, replaced(body), media_type, each.rights, named
                )
                if query and not required.keys() & TENANT_NAMES:
                    yield Call(method, template, path, required, body, media_type, each.rights, names)


def paths_of(template: str, parameters: list[dict[str, Any]]) -> Iterator[tuple[str, bool]]:
    """The path with something of the other tenant in the place of each parameter, and whether that is the tenant."""
    named = [one for one in parameters if one["in"] == "path"]
    if not named:
        yield template, False
        return
    for one in named:
        if choices := one["schema"].get("enum"):
            for choice in choices:
                yield template.replace(f"{{{one['name']}}}", choice), False
            return
    path = template
    for one in named:
        value = IDS.get(template) if len(named) == 1 and template in IDS else BY_NAME.get(one["name"])
        assert value is not None, f"say in IDS or BY_NAME what stands for {one['name']} in {template}"
        path = path.replace(f"{{{one['name']}}}", value)
    yield path, any(one["name"] in TENANT_NAMES for one in named) or template.startswith("/v1/tenants/{id}")


def body_of(operation: dict[str, Any]) -> tuple[Any, str]:
    """The first example of a body, or None, and its media type."""
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        examples = [example["value"] for example in content.get("examples", {}).values()]
        examples += content.get("schema", {}).get("examples", [])
        return content.get("example", examples[0] if examples else {}), media_type
    return None, ""


def replaced(body: Any) -> Any:
    """A body that names the other tenant wherever it names one."""
    if isinstance(body, dict):
        return {
            name: FOREIGN if name in TENANT_NAMES and isinstance(value, str) else replaced(value)
            for name, value in body.items()
        }
    if isinstance(body, list):
        return [replaced(each) for each in body]
    return body


def code_of(answer: httpx.Response) -> str:
    try:
        body = answer.json()
    except ValueError:
        return ""
    found: str = body.get("code") or body.get("error", {}).get("code", "")
    return found


def test_every_route_needs_a_right_or_is_public_on_purpose(app: FastAPI) -> None:
    walked = {str(each.route.path_format) for each in guarded(app)}
    assert set(app.openapi()["paths"]) - walked <= PUBLIC
    assert len(walked) > 20


def test_nobody_is_let_in_without_a_key(app: FastAPI, walked: Walked) -> None:
    for call in calls(app):
        for key in (None, "mk_quiet1_0", "a.b.c"):
            answer = walked.send(key, call)
            assert (answer.status_code, code_of(answer)) == (401, "unauthorized"), (call, answer.text)


def test_no_body_is_read_before_it_is_known_who_calls(app: FastAPI, walked: Walked) -> None:
    for each in guarded(app):
        route = each.route.original_route
        assert isinstance(route, APIRoute)
        assert route.body_field is None, f"{each.route.path}: the framework reads all of it; read it with model_of"
    for call in calls(app):
        if call.body is not None:
            answer = walked.client.request(
                call.method,
                walked.api.client.base_url.join(call.path),
                content=b"{",
                headers={"Content-Type": call.media_type},
            )
            assert (answer.status_code, code_of(answer)) == (401, "unauthorized"), (call, answer.text)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("PATCH", "/v1/metrics/quiet-metric", {"aggregation": "max"}, 404),
        ("PUT", "/v1/metrics/quiet-metric", {"aggregation": "max"}, 403),
        ("PATCH", "/v1/thresholds/th-quiet", {"steps": []}, 404),
        ("PATCH", "/v1/webhooks/wh-quiet", {"enabled": False}, 404),
        ("DELETE", "/v1/webhooks/wh-quiet", None, 404),
        ("DELETE", "/v1/metrics/calls", None, 403),
        ("POST", "/v1/quotas", {"metric": "calls", "tenant_id": FOREIGN, "included": "1"}, 403),
        ("POST", "/v1/quotas", {"metric": "quiet-metric", "tenant_id": OURS, "included": "1"}, 422),
        ("PATCH", "/v1/plans/quiet-plan", {"currency": "USD"}, 404),
        ("DELETE", "/v1/plans/quiet-plan", None, 404),
        ("POST", "/v1/plans", {"id": "quiet-plan", "currency": "USD", "versions": [{}]}, 403),
        ("PUT", f"/v1/tenants/{OURS}/plan", {"plan": "quiet-plan"}, 422),
        ("PUT", f"/v1/tenants/{OURS}/plan", {"plan": "no-plan"}, 422),
        ("POST", "/v1/thresholds", {"metric": "quiet-metric", "tenant_id": OURS, "amount": "1"}, 422),
        ("POST", "/v1/thresholds", {"metric": "calls", "tenant_id": OURS, "notify_webhooks": ["wh-quiet"]}, 422),
        ("POST", f"/v1/notifications/{TOLD.id}/resend", {"target": "webhook/mine"}, 404),
    ],
)
def test_a_refusal_does_not_tell_what_others_have(
    walked: Walked, method: str, path: str, body: Any, status: int
) -> None:
    call = Call(method, path, path, {}, body, "application/json", frozenset(), names_foreign=True)
    answer = walked.send(walked.keys[Role.ADMIN], call)
    assert answer.status_code == status, answer.text
    asked = f"{path} {json.dumps(body)}"
    for said in (FOREIGN, "sum", "th-quiet", "has usage", "belongs to"):
        assert said in asked or said not in answer.text, answer.text
    if status == 422:
        assert "not defined" in answer.text or "there is no plan" in answer.text


@pytest.mark.parametrize("role", Role)
def test_what_a_role_may_not_do_is_denied(app: FastAPI, walked: Walked, role: Role) -> None:
    denied = [call for call in calls(app) if not all(Principal("", role, None).may(right) for right in call.rights)]
    assert denied or role is Role.ADMIN
    for call in denied:
        answer = walked.send(walked.keys[role], call)
        assert (answer.status_code, code_of(answer)) == (403, "permission_denied"), (call, answer.text)


@pytest.mark.parametrize("role", Role)
def test_another_tenants_data_is_never_read_and_never_written(
    app: FastAPI, walked: Walked, role: Role, kafka: str, prefix: str
) -> None:
    before = foreign_entries(walked)
    headers = dict.fromkeys(("X-Tenant-Id", "X-Meterline-Tenant", "X-Company-Id", "X-Forwarded-User"), FOREIGN)
    for call in calls(app):
        answer = walked.send(walked.keys[role], call, **headers)
        assert answer.status_code < 500 or answer.status_code in (501, 503), (call, answer.text)
        assert not any(word in answer.text for word in LOUD), (call, answer.text)
        if call.names_foreign and call.method == "GET":
            assert (answer.status_code, code_of(answer)) == (403, "permission_denied"), (call, answer.text)
    assert foreign_entries(walked) == before
    assert not [event for event in events(kafka, prefix) if event["tenant_id"] == FOREIGN]


def test_a_cursor_of_somebody_else_opens_nothing(app: FastAPI, walked: Walked) -> None:
    tried = 0
    for call in calls(app):
        if call.method != "GET" or call.names_foreign:
            continue
        first = walked.api.client.get(call.path, params={**call.query, "limit": 1})
        body = first.json() if "json" in first.headers.get("content-type", "") else None
        cursor = body.get("next_cursor") if isinstance(body, dict) else None
        if cursor is None:
            continue
        tried += 1
        for role in (Role.VIEWER, Role.FINANCE):
            answer = walked.send(walked.keys[role], call._replace(query={**call.query, "cursor": cursor}))
            assert not any(word in answer.text for word in LOUD), (call, answer.text)
    assert tried >= 3


def test_whoever_reaches_the_other_tenant_does_read_it(app: FastAPI, walked: Walked) -> None:
    """What was planted can be found: an answer without it says something."""
    found = set()
    for call in calls(app):
        if call.method == "GET" and any(
            word in walked.api.client.get(call.path, params=call.query).text for word in LOUD
        ):
            found.add(call.template)
    assert {"/v1/usage", "/v1/metrics", "/v1/quotas", "/v1/thresholds", "/v1/keys", "/v1/notifications"} <= found
    assert {"/v1/plans", "/v1/plans/{id}", "/v1/invoices", "/v1/invoices/{number}"} <= found


def foreign_entries(walked: Walked) -> dict[str, Any]:
    """What the catalog has of the other tenant."""
    paths = ("/v1/metrics", "/v1/quotas", "/v1/thresholds", "/v1/webhooks", "/v1/tenants", "/v1/keys")
    found = {}
    for path in paths:
        data = walked.api.client.get(path, params={"limit": 1000}).json()["data"]
        found[path] = [entry for entry in data if FOREIGN in json.dumps(entry)]
    for path in ("/v1/plans", f"/v1/tenants/{FOREIGN}/plan"):
        found[path] = walked.api.client.get(path).json()
    return found
