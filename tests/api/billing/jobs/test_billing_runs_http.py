"""/v1/billing/runs on the real API, whose jobs keep to a folder."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from meterline_schemas import topics
from meterline_schemas.audit.entry import decode
from meterline_schemas.roles import Role
from tests.api.billing.jobs.keyed import KEYS, MIDDLE, kept
from tests.api.billing.jobs.site import Site
from tests.support import cluster
from tests.support.streams import wait_until

RUNS = "/v1/billing/runs"
NOON = (datetime.now(UTC) - timedelta(days=2)).replace(hour=12, minute=0, second=0, microsecond=0)


@pytest.fixture(scope="module")
def site(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(kafka, f"runs-{uuid.uuid4().hex[:8]}.", tmp_path_factory.mktemp("api")) as made:
        yield made
        assert "Traceback" not in made.api.log()
        assert "internal error" not in made.api.log()


def at(minutes: int) -> str:
    """An instant that no other test has."""
    return (NOON + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")


def refused(answer: httpx.Response, status: int, code: str) -> str:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    detail: str = answer.json()["detail"]
    return detail


def test_asking_twice_gives_the_same_run_and_does_it_once(site: Site) -> None:
    due = at(1)
    with site.holding():
        first = site.ask(job="push", due=due)
        wait_until(lambda: len(kept(site.effect("push", due))) == MIDDLE, 30, "it is in the middle")
        second = site.ask(job="push", due=due)
        assert first.status_code == second.status_code == 202
        run, again = first.json(), second.json()
        assert (run["due"], run["state"], run["asked_by"], run["ended_at"]) == (due, "running", "root", None)
        assert again | {"seen_at": run["seen_at"]} == run
        detail = refused(site.ask(job="push", due=at(2)), 409, "conflict")
        assert detail.startswith("the job push is being done for")
        assert site.ask(job="close", due=due).status_code == 202, "jobs do not wait for each other"
    done = site.ended("push", due)
    assert (done["state"], done["result"], done["problems"]) == ("done", {"appended": "8"}, [])
    assert done["owner"] == run["owner"]
    assert tuple(kept(site.effect("push", due))) == KEYS
    third = site.ask(job="push", due=due)
    assert (third.status_code, third.json()) == (202, done), "what is done stays done"
    entries = [decode(each.value()) for each in cluster.read_all(site.kafka, site.prefix + topics.AUDIT)]
    started = [each.resource_id for each in entries if each.action == "billing_run.started"]
    assert len([id for id in started if id.startswith("push/")]) == 1


def test_without_an_instant_it_is_the_last_of_the_schedule(site: Site) -> None:
    run = site.ask(job="push").json()
    assert run["due"] == f"{datetime.now(UTC).year}-01-01T00:00:00Z"
    detail = refused(site.ask(job="reconcile"), 409, "conflict")
    assert detail.startswith("this server does not do the job reconcile")
    assert "must say for which instant" in refused(site.ask(job="close"), 422, "invalid_request")
    site.ended("push", run["due"])


def test_a_dry_run_says_what_would_be_done_and_does_nothing(site: Site) -> None:
    answer = site.ask(job="push", due=at(10), dry_run=True)
    assert (answer.status_code, answer.json()) == (
        200,
        {"job": "push", "due": at(10), "dry_run": True, "result": {"would_append": "8"}, "problems": []},
    )
    assert not site.effect("push", at(10)).exists()
    assert "was not run for" in refused(site.api.client.get(f"{RUNS}/push/{at(10)}"), 404, "not_found")
    with site.failing("Stripe has no key: set it"):
        detail = refused(site.ask(job="push", due=at(10), dry_run=True), 409, "conflict")
    assert detail == "nothing would come of it: Stripe has no key: set it"


def test_a_run_that_failed_says_why_and_is_done_when_it_is_asked_for_again(site: Site) -> None:
    with site.failing("Stripe has no key: set it"):
        site.ask(job="push", due=at(20))
        failed = site.ended("push", at(20))
    assert (failed["state"], failed["problems"]) == ("failed", ["Stripe has no key: set it"])
    site.ask(job="push", due=at(20))
    assert site.ended("push", at(20))["state"] == "done"


def test_runs_are_listed_by_pages_filtered_and_the_last_first(site: Site) -> None:
    for minute in (30, 31, 32):
        site.ask(job="close", due=at(minute))
        site.ended("close", at(minute))
    found, cursor = list[dict[str, Any]](), ""
    while True:
        query = {"job": "close", "state": "done", "limit": "2"} | ({"cursor": cursor} if cursor else {})
        body = site.api.client.get(RUNS, params=query).json()
        found += body["data"]
        cursor = body.get("next_cursor", "")
        if not cursor:
            break
        assert len(body["data"]) == 2
    dues = [each["due"] for each in found]
    assert dues == sorted(dues, reverse=True)
    assert {at(30), at(31), at(32)} <= set(dues)
    assert {each["job"] for each in found} == {"close"}
    assert site.api.client.get(RUNS, params={"state": "lost"}).json() == {"data": []}
    assert (
        site.api.client.get(RUNS).json()["data"][0] == site.api.client.get(RUNS, params={"limit": 1}).json()["data"][0]
    )
    refused(site.api.client.get(RUNS, params={"cursor": "x"}), 422, "invalid_cursor")
    assert site.api.client.get(RUNS, params={"job": "pull"}).status_code == 422


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"job": "pull"}, "job"),
        ({}, "job"),
        ({"job": "push", "due": "2999-01-01T00:00:00Z"}, "has not come yet"),
        ({"job": "push", "due": "2001-01-01T00:00:00Z"}, "400 days ago"),
        ({"job": "push", "due": "0001-01-01T00:00:00+14:00"}, "between the years"),
        ({"job": "push", "due": "2026-11-22T01:00:00"}, "due"),
        ({"job": "push", "when": "now"}, "when"),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(site: Site, body: dict[str, Any], said: str) -> None:
    assert said in refused(site.api.client.post(RUNS, json=body), 422, "invalid_request")


@pytest.mark.parametrize("path", ["push/0001-01-01T00:00:00+14:00", "push/yesterday"])
def test_what_is_no_instant_is_refused(site: Site, path: str) -> None:
    refused(site.api.client.get(f"{RUNS}/{path}"), 422, "invalid_request")


def test_a_job_that_there_is_not_was_never_run(site: Site) -> None:
    refused(site.api.client.get(f"{RUNS}/pull/{at(0)}"), 404, "not_found")


@pytest.mark.parametrize(
    ("role", "tenants", "status"),
    [
        (Role.ADMIN, ["*"], 200),
        (Role.FINANCE, ["*"], 200),
        (Role.FINANCE, ["acme"], 403),  # a run is about all tenants
        (Role.VIEWER, ["*"], 403),
        (Role.PRODUCER, ["*"], 403),
    ],
)
def test_runs_are_for_finance_that_reaches_all_tenants(site: Site, role: Role, tenants: list[str], status: int) -> None:
    key = site.api.client.post("/v1/keys", json={"role": role, "tenants": tenants}).json()["key"]
    headers = {"Authorization": f"Bearer {key}"}
    assert site.api.client.get(RUNS, headers=headers).status_code == status
    dry = {"job": "push", "due": at(40), "dry_run": True}
    assert site.api.client.post(RUNS, json=dry, headers=headers).status_code == status
    assert site.api.client.get(f"{RUNS}/push/{at(40)}", headers=headers).status_code == (404 if status == 200 else 403)
