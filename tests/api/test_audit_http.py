"""The audit log over HTTP, with a real sink behind it: every change through the API is there, and who made it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest

from meterline_schemas.audit.log import AuditLog
from meterline_schemas.catalog import Tenant
from meterline_schemas.settings import ClickHouseSettings, KafkaSettings
from meterline_sinks.migrate import migrate
from tests.api.catalog import problem, store
from tests.api.process import KEY, ApiProcess
from tests.deploy.running import meterline
from tests.services.clickhouse import ClickHouseServer, execute
from tests.services.kafka import create_topics
from tests.sinks.harness import Feed, Sinks
from tests.support.streams import wait_until

SECRET = "whsec_" + "A" * 44


@dataclass
class Logged:
    """An API whose sink keeps what is written."""

    api: ApiProcess
    settings: KafkaSettings
    clickhouse: ClickHouseSettings

    def ask(self, method: str, path: str, key: str = KEY, **more: Any) -> httpx.Response:
        return self.api.client.request(method, path, headers={"Authorization": f"Bearer {key}"}, **more)

    def listed(self, key: str = KEY, **query: Any) -> list[dict[str, Any]]:
        """Entries, page after page."""
        found: list[dict[str, Any]] = []
        cursor: dict[str, str] = {}
        while True:
            answer = self.ask("GET", "/v1/audit", key, params={**query, **cursor})
            assert answer.status_code == 200, answer.text
            body = answer.json()
            assert len(body["data"]) <= int(query.get("limit", 100))
            found += body["data"]
            if "next_cursor" not in body:
                return found
            cursor = {"cursor": body["next_cursor"]}

    def settle(self) -> int:
        """Wait until all that was written is listed; how many entries that are."""
        head = int(self.ask("GET", "/v1/audit/head").json()["seq"])
        wait_until(
            lambda: not head or any(each["seq"] == head for each in self.listed(limit=1000)), 30, "the sink keeps up"
        )
        return head

    def key(self, role: str, *tenants: str) -> str:
        answer = self.ask("POST", "/v1/keys", json={"role": role, "tenants": list(tenants)})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["key"])


@pytest.fixture(scope="module")
def logged(
    kafka: str, clickhouse_server: ClickHouseServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Logged]:
    name = uuid.uuid4().hex[:8]
    settings, prefix, folder = (
        clickhouse_server.settings(f"logged{name}"),
        f"logged-{name}.",
        tmp_path_factory.mktemp("a"),
    )
    create_topics(kafka, prefix, 2)
    migrate(settings, cluster="")
    sinks = Sinks(cast(Feed, SimpleNamespace(bootstrap=kafka, prefix=prefix)), settings, folder)
    api = ApiProcess(kafka, prefix, settings, folder)
    try:
        sinks.start("sink")
        api.start()
        yield Logged(api, KafkaSettings(kafka=kafka, topic_prefix=prefix), settings)
        assert api.stop() == 0
        assert "Traceback" not in api.log()
    finally:
        api.stop()
        sinks.close()
        execute(settings, f"DROP DATABASE {settings.database} SYNC")


def test_every_change_through_the_api_is_listed_with_who_made_it(logged: Logged) -> None:
    admin = logged.key("admin", "*")
    made = [
        ("PUT", "/v1/tenants/changer", {"name": "Anna"}),
        ("POST", "/v1/metrics", {"key": "changed", "unit": "call"}),
        ("PATCH", "/v1/metrics/changed", {"name": "Changed"}),
        ("POST", "/v1/webhooks", {"id": "crm", "url": "https://example.com/hooks/path", "secret": SECRET}),
        ("DELETE", "/v1/webhooks/crm", None),
    ]
    for method, path, body in made:
        headers = {"Authorization": f"Bearer {admin}", "X-Request-Id": "order-7"}
        answer = logged.api.client.request(method, path, json=body, headers=headers)
        assert answer.is_success, answer.text
    logged.settle()
    id = logged.ask("GET", "/v1/caller", admin).json()["actor"]
    entries = logged.listed(actor=id)[::-1]
    assert [each["action"] for each in entries] == [
        "tenant.created",
        "metric.created",
        "metric.updated",
        "webhook.created",
        "webhook.deleted",
    ]
    assert {(each["actor"], each["origin"], each["request_id"]) for each in entries} == {(id, "127.0.0.1", "order-7")}
    updated = entries[2]
    assert (updated["before"]["name"], updated["after"]["name"]) == ("", "Changed")
    assert (updated["before"]["version"], updated["after"]["version"]) == (1, 2)
    assert entries[0]["before"] is None
    assert entries[0]["tenant_id"] == "changer"
    said = json.dumps(logged.listed())
    assert [text for text in (SECRET, "Anna", "hooks/path", admin.rsplit("_", 1)[-1]) if text in said] == []
    assert any(each["action"] == "key.created" and each["actor"] == "root" for each in logged.listed())


def test_it_can_be_narrowed_down_and_read_in_pages(logged: Logged) -> None:
    for number in range(5):
        answer = logged.ask("PUT", "/v1/tenants/paged", json={"billing_anchor": number + 1})
        assert answer.is_success, answer.text
    logged.settle()
    seqs = [each["seq"] for each in logged.listed(tenant_id="paged")]
    assert seqs == sorted(seqs, reverse=True)
    assert len(seqs) == 5
    for limit in (1, 2, 5):
        assert [each["seq"] for each in logged.listed(tenant_id="paged", limit=limit)] == seqs
    first, last = logged.listed(tenant_id="paged")[-1], logged.listed(tenant_id="paged")[0]
    times = {"from": first["at"], "to": last["at"]}
    assert [each["seq"] for each in logged.listed(tenant_id="paged", **times)][-1] == seqs[-1]
    assert seqs[0] not in [each["seq"] for each in logged.listed(tenant_id="paged", **times)]
    assert len(logged.listed(action="tenant.updated", tenant_id="paged")) == 4
    assert logged.listed(resource_type="tenant", resource_id="paged", action="tenant.deleted") == []
    everything = [each["seq"] for each in logged.listed(limit=3)]
    assert everything == list(range(max(everything), 0, -1)), "numbers have no gaps"


def test_who_reaches_some_tenants_sees_what_was_done_to_these_only(logged: Logged) -> None:
    for tenant in ("mine", "theirs"):
        assert logged.ask("PUT", f"/v1/tenants/{tenant}", json={}).is_success
    finance, viewer = logged.key("finance", "mine"), logged.key("viewer", "mine")
    logged.settle()
    assert {each["tenant_id"] for each in logged.listed(finance)} == {"mine"}
    problem(logged.ask("GET", "/v1/audit", finance, params={"tenant_id": "theirs"}), 403, "permission_denied")
    problem(logged.ask("GET", "/v1/audit", finance, params={"tenant_id": ""}), 403, "permission_denied")
    problem(logged.ask("GET", "/v1/audit", viewer), 403, "permission_denied")
    problem(logged.ask("GET", "/v1/audit/head", viewer), 403, "permission_denied")
    cursor = logged.ask("GET", "/v1/audit", params={"limit": 1}).json()["next_cursor"]
    theirs = logged.ask("GET", "/v1/audit", finance, params={"cursor": cursor}).json()["data"]
    assert {each["tenant_id"] for each in theirs} <= {"mine"}


@pytest.mark.parametrize(
    "query",
    [
        {"cursor": "x"},
        {"cursor": "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OSAx"},
        {"from": "0001-01-01"},
        {"from": "yesterday"},
        {"limit": 0},
        {"action": "x" * 200},
    ],
)
def test_what_is_wrong_with_a_parameter_is_told(logged: Logged, query: dict[str, Any]) -> None:
    answer = logged.ask("GET", "/v1/audit", params=query)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")


@pytest.mark.parametrize(
    "query",
    [{"actor": "\0'\\"}, {"from": "0001-01-01T00:00:00Z", "to": "9999-12-31T23:59:59Z"}, {"action": "' OR 1 --"}],
)
def test_unlikely_parameters_find_nothing_or_all(logged: Logged, query: dict[str, Any]) -> None:
    assert len(logged.listed(**query)) in (0, logged.settle())


def test_changes_at_once_and_by_other_processes_are_one_chain_and_the_commands_see_it(
    logged: Logged, tmp_path: Path
) -> None:
    def change(number: int) -> bool:
        if number % 3 == 0:
            other = store(logged.settings.kafka, logged.settings.topic_prefix)
            other.change(lambda _book: [(Tenant(id=f"beside-{number}"), False)])
            return True
        return logged.ask("PUT", f"/v1/tenants/beside-{number}", json={}).is_success

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(change, range(6)))
    head = logged.settle()
    clickhouse = logged.clickhouse
    more = {
        "METERLINE_KAFKA": logged.settings.kafka,
        "METERLINE_TOPIC_PREFIX": logged.settings.topic_prefix,
        "METERLINE_CLICKHOUSE_URL": clickhouse.url,
        "METERLINE_CLICKHOUSE_USER": clickhouse.user,
        "METERLINE_CLICKHOUSE_PASSWORD": clickhouse.password.get_secret_value(),
        "METERLINE_CLICKHOUSE_DATABASE": clickhouse.database,
        "METERLINE_API_URL": str(logged.api.client.base_url),
        "METERLINE_API_KEY": KEY,
    }
    done = meterline("audit", "verify", folder=tmp_path, more=more)
    assert done.returncode == 0, done.stdout + done.stderr
    last = AuditLog(logged.settings).head()
    assert last is not None
    assert f"head: {head}:{last.hash}" in done.stdout
    done = meterline("audit", "list", "--type", "tenant", "--limit", "6", folder=tmp_path, more=more)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("tenant.created") == 6
    assert "by root from 127.0.0.1" in done.stdout
    assert "by cli:" in done.stdout


def test_a_report_is_given_out_once_it_is_written_down_and_not_before(logged: Logged) -> None:
    finance = logged.key("finance", "reported")
    actor = logged.ask("GET", "/v1/caller", finance).json()["actor"]
    answer = logged.ask("GET", "/v1/exports/events", finance, params={"from": "2026-11-01T00:00:00Z"})
    assert answer.status_code == 200, answer.text
    answer = logged.ask("GET", "/v1/exports/nothing", finance)
    assert answer.status_code == 404
    logged.settle()
    (entry,) = logged.listed(actor=actor)
    assert (entry["action"], entry["resource_type"], entry["tenant_id"]) == ("export.generated", "events", "reported")
    assert entry["details"]["filters"]["from"] == "2026-11-01T00:00:00.000Z"
    assert (entry["before"], entry["after"]) == (None, None)


def test_many_reports_at_once_are_each_written_down(logged: Logged) -> None:
    finance = logged.key("finance", "crowded")
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda _number: logged.ask("GET", "/v1/exports/events", finance).status_code, range(10))
        assert set(answers) == {200}
    logged.settle()
    assert len(logged.listed(tenant_id="crowded", action="export.generated")) == 10
