"""``/v1/notifications``: what was told, and telling it once more, with a real notifier and real receivers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meterline_schemas import topics
from meterline_schemas.delivery import Resend, decode
from meterline_schemas.notification import Type
from meterline_schemas.partitioning import partition_of
from tests.api.catalog import problem
from tests.api.process import ApiProcess
from tests.api.telling import SOON, Telling, telling
from tests.notifier.harness import PARTITIONS, webhook
from tests.services.clickhouse import ClickHouseServer
from tests.support import cluster
from tests.support.streams import wait_until

UNKNOWN = "ntf_" + "0" * 32


@pytest.fixture(scope="module")
def told(
    kafka: str, clickhouse_server: ClickHouseServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Telling]:
    with telling(kafka, clickhouse_server, tmp_path_factory.mktemp("told")) as made:
        yield made


def listed(told: Telling, **query: Any) -> list[str]:
    """The ids that are listed, page after page."""
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        answer = told.api.client.get("/v1/notifications", params={**query, **cursor})
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert len(body["data"]) <= query.get("limit", 100)
        found += [each["id"] for each in body["data"]]
        assert len(found) == len(set(found)), "none twice"
        if "next_cursor" not in body:
            return found
        cursor = {"cursor": body["next_cursor"]}


def test_they_are_listed_newest_first_in_pages_that_neither_miss_nor_repeat(told: Telling) -> None:
    made = [told.crossed("pages", minutes) for minutes in (0, 3, 3, 3, 3, 1, 2)]
    told.keep(*made)
    wanted = [each.id for each in sorted(made, key=lambda each: (each.timestamp, each.id), reverse=True)]
    for limit in (1, 2, 3, 7, 100):
        assert listed(told, tenant_id="pages", limit=limit) == wanted


def test_the_list_can_be_narrowed_down(told: Telling) -> None:
    early, late = told.crossed("narrow"), told.crossed("narrow", minutes=2)
    warned = told.crossed("narrow", minutes=1, type=Type.THRESHOLD_APPROACHING)
    calls = told.crossed("narrow", minutes=1, metric="calls")
    nobodys = told.defined()
    told.keep(early, late, warned, calls, nobodys)
    assert set(listed(told, tenant_id="narrow")) == {early.id, late.id, warned.id, calls.id}
    assert listed(told, tenant_id="narrow", type="threshold.approaching") == [warned.id]
    assert listed(told, tenant_id="narrow", metric="calls") == [calls.id]
    assert nobodys.id in listed(told, tenant_id="")
    assert early.id not in listed(told, tenant_id="")
    bounds = {"from": "2026-11-21T12:00:00.001Z", "to": "2026-11-21T12:02:00Z"}
    assert set(listed(told, tenant_id="narrow", **bounds)) == {warned.id, calls.id}
    (shown,) = told.api.client.get("/v1/notifications", params={"tenant_id": "narrow", "metric": "calls"}).json()[
        "data"
    ]
    assert shown == {
        "id": calls.id, "type": "threshold.exceeded", "timestamp": "2026-11-21T12:01:00Z", "tenant_id": "narrow",
        "metric": "calls", "subject": "", "threshold_id": "orders", "usage": "10000", "limit": "10000",
        "percent": "100", "step": "100", "period_start": "2026-11-01T00:00:00Z", "period_end": "2026-12-01T00:00:00Z",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("query", "code"),
    [({"cursor": "%"}, "invalid_cursor"), ({"cursor": "YQ"}, "invalid_cursor"), ({"type": "x"}, "invalid_request")]
    + [({name: "now"}, "invalid_request") for name in ("from", "to", "limit")],
)
def test_a_wrong_parameter_is_told(told: Telling, query: dict[str, str], code: str) -> None:
    problem(told.api.client.get("/v1/notifications", params=query), 422, code)


def test_one_is_shown_with_everything_that_was_told_and_every_attempt(told: Telling) -> None:
    made = told.crossed(usage="10301.500000001", percent="103.01")
    told.gone.add(made.id)
    told.tell(made)
    told.wait(made.id, crm=["delivered", 200], erp=["failed", 410])
    shown = told.get(made.id)
    assert (shown["usage"], shown["data"]["usage"], shown["data"]["action"]) == (
        *["10301.500000001"] * 2,
        "alert",
    )
    assert "note" not in shown
    crm, erp = shown["deliveries"]
    assert (crm["kind"], crm["id"], crm["next_at"]) == ("webhook", "crm", None)
    (attempt,) = erp["attempts"]
    assert attempt["number"] == 1
    assert attempt["seconds"] >= 0
    assert attempt["at"].endswith("Z")
    assert "410 Gone" in attempt["error"]
    assert attempt["answer"] == "moved \x1b[31maway"


def test_it_is_told_once_more_to_one_or_to_all_with_the_same_webhook_id(told: Telling) -> None:
    made = told.crossed("beta")
    told.gone.add(made.id)
    told.tell(made)
    told.wait(made.id, crm=["delivered", 200], erp=["failed", 410])
    told.gone.clear()
    answer = told.resend(made.id, target="webhook/erp")
    assert answer.status_code == 202, answer.text
    assert {**answer.json(), "id": ""} == {"id": "", "notification_id": made.id, "target": "webhook/erp"}
    told.wait(made.id, crm=["delivered", 200], erp=["delivered", 410, 200])
    assert told.resend(made.id).json()["target"] == ""
    told.wait(made.id, crm=["delivered", 200, 200], erp=["delivered", 410, 200, 200])
    for receiver, times in ((told.crm, 2), (told.erp, 3)):
        assert [call.body for call in receiver.calls if call.webhook_id == made.id] == [made.encode()] * times


def test_a_webhook_that_is_new_can_be_told_too(told: Telling) -> None:
    made = told.crossed()
    told.tell(made)
    told.wait(made.id, crm=["delivered", 200], erp=["delivered", 200])
    told.notifiers.define(webhook("late", told.crm.url + "-late", events=("usage.aggregated",)))
    other = told.crossed()
    told.tell(other)  # the notifier reads the catalog before it judges
    told.wait(other.id, crm=["delivered", 200], erp=["delivered", 200])
    wait_until(lambda: told.resend(made.id, target="webhook/late").status_code == 202, SOON, "the webhook is known")
    told.wait(made.id, crm=["delivered", 200], erp=["delivered", 200], late=["delivered", 200])


def test_nobody_sends_on_what_another_tenant_was_told(told: Telling) -> None:
    made = told.crossed("beta")
    told.notifiers.define(
        webhook("betas", told.crm.url, tenant_id="beta"), webhook("others", told.crm.url, tenant_id="o")
    )
    told.tell(made)
    wait_until(lambda: "webhook/betas" in told.statuses(made.id), SOON, "it is told")

    def resend(tenant: str, target: str) -> int:
        key = told.api.client.post("/v1/keys", json={"role": "admin", "tenants": [tenant]}).json()["key"]
        path, headers = f"/v1/notifications/{made.id}/resend", {"Authorization": f"Bearer {key}"}
        return told.api.client.post(path, json={"target": target}, headers=headers).status_code

    wait_until(lambda: told.resend(made.id, target="webhook/others").status_code == 202, SOON, "the webhook is known")
    assert resend("o", "webhook/others") == 404, "the notification is another's"
    assert resend("beta", "webhook/others") == 422, "the webhook is another's"
    assert resend("beta", "webhook/betas") == 202


def test_a_request_lies_on_the_partition_of_the_tenant_or_of_none(told: Telling, kafka: str) -> None:
    homes = {partition_of(f"t{number}", PARTITIONS): f"t{number}" for number in range(20)}
    assert len(homes) == PARTITIONS
    made = [told.defined(), *(told.crossed(tenant) for tenant in homes.values())]
    assert made[0].tenant_id == ""
    told.tell(*made)
    wanted = {}
    for each in made:
        told.wait(each.id, crm=["delivered", 200], erp=["delivered", 200])
        wanted[told.resend(each.id).json()["id"]] = partition_of(each.tenant_id, PARTITIONS)
        told.wait(each.id, crm=["delivered", 200, 200], erp=["delivered", 200, 200])
    requests = {
        entry.id: message.partition()
        for message in cluster.read_all(kafka, told.notifiers.prefix + topics.DELIVERIES)
        if message.value() is not None and isinstance(entry := decode(message.value()), Resend)
    }
    assert {id: requests.get(id) for id in wanted} == wanted


def test_where_nobody_was_to_be_told_there_is_nothing_to_resend(told: Telling) -> None:
    made = told.crossed(threshold_id="quiet", action="none")
    told.tell(made)
    shown = told.get(made.id)
    assert shown["deliveries"] == []
    assert "nobody was to be told of it" in shown["note"]
    problem(told.resend(made.id), 409, "conflict")


def test_what_does_not_exist_is_not_found(told: Telling) -> None:
    for id in (UNKNOWN, "ntf_'; DROP TABLE notifications; --", "a%2Fb"):
        problem(told.api.client.get(f"/v1/notifications/{id}"), 404, "not_found")
    problem(told.resend(UNKNOWN), 404, "not_found")
    problem(told.resend(UNKNOWN, target="webhook/crm"), 404, "not_found")


def test_a_wrong_target_is_told_and_nothing_is_written(told: Telling, kafka: str) -> None:
    made = told.crossed()
    told.tell(made)
    told.wait(made.id, crm=["delivered", 200], erp=["delivered", 200])

    def requests() -> int:
        found = cluster.read_all(kafka, told.notifiers.prefix + topics.DELIVERIES)
        return sum((message.key() or b"").startswith(b'["resend"') for message in found)

    before = requests()
    for target in ("crm", "sms/1", "webhook/", 7, "email/" + "a" * 400):
        assert "webhook/<id>" in problem(told.resend(made.id, target=target), 422, "invalid_request")["target"]
    for target in ("webhook/crn", "email/a@example.com"):
        found = problem(told.resend(made.id, target=target), 422, "invalid_request")
        assert "these were: webhook/crm, webhook/erp" in found["target"]
    assert set(problem(told.resend(made.id, targets=["webhook/crm"]), 422, "invalid_request")) == {"targets"}
    answer = told.api.client.post(f"/v1/notifications/{made.id}/resend", content=b"[")
    problem(answer, 400, "invalid_json")
    assert requests() == before


def test_without_clickhouse_what_the_ledger_knows_can_be_resent_and_the_rest_says_so(
    told: Telling, kafka: str, tmp_path: Path
) -> None:
    made = told.crossed()
    told.tell(made)
    told.wait(made.id, crm=["delivered", 200], erp=["delivered", 200])
    api = ApiProcess(kafka, told.notifiers.prefix, None, tmp_path)
    api.start()
    try:
        for path in ("", f"/{made.id}"):
            problem(api.client.get(f"/v1/notifications{path}"), 503, "clickhouse_unavailable")
        problem(api.client.post(f"/v1/notifications/{UNKNOWN}/resend"), 503, "clickhouse_unavailable")
        path = f"/v1/notifications/{made.id}/resend"
        wait_until(lambda: api.client.post(path).status_code == 202, SOON, "the ledger is read")
        told.wait(made.id, crm=["delivered", 200, 200], erp=["delivered", 200, 200])
    finally:
        assert api.stop() == 0
    assert "Traceback" not in api.log()


def test_without_the_key_nothing_is_told(told: Telling) -> None:
    for method, path in (("GET", ""), ("GET", f"/{UNKNOWN}"), ("POST", f"/{UNKNOWN}/resend")):
        answer = told.api.client.request(method, f"/v1/notifications{path}", headers={"Authorization": "Bearer no"})
        assert answer.status_code == 401
