"""The jobs of Stripe on the whole pipeline: set up, pushed on schedule by two processes, retried, reconciled."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import pytest

from meterline_schemas.catalog import Aggregation, Metric, Plan, Tenant, TenantPlan
from meterline_schemas.catalog.plan import Span
from meterline_sinks.clickhouse import ClickHouse
from tests.api.billing.stripe.stand_in import StandIn
from tests.api.billing.stripe.town import DAY, EVENTS, TODAY, Town
from tests.services.clickhouse import ClickHouseServer, execute
from tests.support.pipeline import Pipeline
from tests.support.streams import wait_until

SINCE = TODAY - 3 * DAY

PLAN = Plan.model_validate(
    {
        "id": "team",
        "currency": "USD",
        "versions": [
            {
                "base_fee": "199",
                "charges": [
                    {"metric": "order", "included": "10", "price": {"model": "per_unit", "unit_price": "0.10"}},
                    {"metric": "disk", "measure": "unit_months", "price": {"model": "per_unit", "unit_price": 1}},
                ],
            }
        ],
    }
)
CAPPED = Plan.model_validate(
    {
        "id": "capped",
        "currency": "USD",
        "versions": [
            {"charges": [{"metric": "order", "cap": "5", "price": {"model": "per_unit", "unit_price": "0.10"}}]}
        ],
    }
)


@pytest.fixture(scope="module")
def town(
    kafka: str, clickhouse_server: ClickHouseServer, stand_in: StandIn, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Town]:
    database = clickhouse_server.settings(f"town{uuid.uuid4().hex[:12]}")
    prefix = f"town{uuid.uuid4().hex[:8]}."
    stand_in.clear_faults()
    with Pipeline(kafka, prefix, tmp_path_factory.mktemp("pipeline"), database, partitions=2) as pipeline:
        on = (("acme", "team"), ("beta", "team"), ("stern", "capped"))
        pipeline.configure(
            Metric(key="order", aggregation=Aggregation.SUM),
            Metric(key="disk", aggregation=Aggregation.TIME_WEIGHTED),
            PLAN,
            CAPPED,
            Tenant(id="acme", name="Acme"),
            Tenant(id="stern"),
            *(TenantPlan(tenant_id=name, spans=(Span(start=TODAY - 60 * DAY, plan=plan),)) for name, plan in on),
        )
        pipeline.start("stream", "meterline_streams", METERLINE_ACCEPT_PAST="P70D")
        pipeline.start("sink", "meterline_sinks")
        made = Town(pipeline, stand_in, tmp_path_factory.mktemp("town"))
        yield made
        assert "Traceback" not in made.asked.log()
        assert made.asked.stop() == 0
    clickhouse_server.restore()
    execute(database, f"DROP DATABASE IF EXISTS {database.database} SYNC")


@pytest.fixture(scope="module")
def ready(town: Town) -> Town:
    """Acme is set up to be charged by Stripe for the last three days, and was before."""
    town.use("acme", "disk", "40", TODAY - 10 * DAY)
    for number in range(5):
        town.use("acme", "order", str(10 + number), TODAY - number * DAY + timedelta(hours=1))
    wish = (
        "--tenant",
        "acme",
        "--billing",
        "meter",
        "--since",
        f"{SINCE:%Y-%m-%d}",
        "--metric",
        "order:event_name=order_created",
    )
    dry = town.setup(*wish, "--dry-run")
    assert dry["made"] == {"billing.meters": 2, "products": 3, "prices": 3, "customers": 1, "subscriptions": 1}
    before = len(town.stripe.requests())
    assert town.asked.client.get("/v1/tenants/acme").json()["billing"] == "invoice"
    found = town.setup(*wish)
    assert (found["made"], found["problems"]) == (dry["made"], [])
    assert len(town.stripe.requests()) > before
    return town


def test_the_set_up_makes_each_thing_once_and_tells_what_stripe_cannot_say(ready: Town) -> None:
    acme = ready.asked.client.get("/v1/tenants/acme").json()
    assert (acme["billing"], acme["metered_since"]) == ("meter", f"{SINCE:%Y-%m-%d}")
    again = ready.setup()
    assert (again["made"], again["problems"]) == ({}, [])
    (shown,) = again["tenants"]
    assert (shown["tenant_id"], shown["customer"]) == ("acme", acme["stripe_customer"])
    assert {each["metric"]: (each["event_name"], each["scale"]) for each in again["metrics"]} == {
        "order": ("order_created", 0),
        "disk": ("disk", 6),
    }
    refused = ready.setup("--tenant", "stern", "--tenant", "nobody", "--billing", "meter", "--dry-run")
    assert refused["made"] == {}
    assert [problem for problem in refused["problems"] if "it has a cap" in problem]
    assert [problem for problem in refused["problems"] if "'nobody' is not listed" in problem]
    assert ready.asked.client.get("/v1/tenants/stern").json()["billing"] == "invoice"


@dataclass(frozen=True)
class Pushed:
    run: dict[str, Any]
    calls: int
    codes: list[int]
    orders: dict[date, int]


@pytest.fixture(scope="module")
def pushed(ready: Town) -> Pushed:
    """What was missed, once two processes were on schedule."""
    before = len([each for each in ready.stripe.requests() if each["path"] == EVENTS])
    both = [
        ready.api(f"scheduled-{number}", BILLING_ENABLED="true", BILLING_PUSH_SCHEDULE="0 0 * * *")
        for number in range(2)
    ]
    for each in both:
        each.start()
    try:
        path = f"/v1/billing/runs/push/{TODAY:%Y-%m-%dT%H:%M:%SZ}"
        wait_until(lambda: ready.asked.client.get(path).json().get("state") == "done", 90, lambda: both[0].log())
        run = ready.asked.client.get(path).json()
    finally:
        codes = [each.stop() for each in both]
    calls = len([each for each in ready.stripe.requests() if each["path"] == EVENTS]) - before
    return Pushed(run, calls, codes, ready.orders())


def test_of_two_processes_on_schedule_one_pushes_what_was_missed(pushed: Pushed) -> None:
    assert pushed.codes == [0, 0]
    assert (pushed.run["result"]["delivered"], pushed.run["problems"]) == ("6", [])
    assert pushed.calls == 6, "two metrics, three days, each once"
    assert pushed.orders == {(TODAY - number * DAY).date(): 10 + number for number in (1, 2, 3)}, (
        "the day before is invoiced"
    )


@dataclass(frozen=True)
class Dry:
    done: subprocess.CompletedProcess[str]
    untouched: bool
    retries: dict[str, Any]


@pytest.fixture(scope="module")
def dry(ready: Town, pushed: Pushed) -> Dry:
    """A day changed after it was pushed, and a dry run."""
    ready.use("acme", "order", "5", TODAY - DAY + timedelta(hours=2))
    before = ready.stripe.requests()
    done = ready.command("billing", "run", "push", "--due", "now", "--dry-run")
    untouched = ready.stripe.requests() == before
    return Dry(done, untouched, ready.asked.client.get("/v1/billing/runs", params={"job": "retry"}).json())


def test_a_dry_run_says_what_would_be_pushed_and_writes_nothing(dry: Dry) -> None:
    assert (dry.done.returncode, "changed: 1" in dry.done.stdout) == (0, True), dry.done
    assert dry.untouched
    assert dry.retries == {"data": []}


@dataclass(frozen=True)
class Settled:
    unanswered: dict[str, Any]
    dry: str
    retried: dict[str, Any]
    pushed: dict[str, Any]


@pytest.fixture(scope="module")
def settled(ready: Town, dry: Dry) -> Settled:
    """The changed day pushed without an answer, and then the retry."""
    ready.stripe.control("faults", kind="after", path=EVENTS, times=None)
    unanswered = ready.run("push")
    ready.stripe.clear_faults()
    said = ready.command("billing", "run", "retry", "--due", "now", "--dry-run").stdout
    return Settled(unanswered, said, ready.run("retry"), ready.run("push"))


def test_what_got_no_answer_is_told_and_settled_by_the_retry(settled: Settled) -> None:
    run = settled.unanswered
    assert (run["state"], run["result"]["open"]) == ("done", "1"), run
    assert run["problems"] == ["Stripe did not answer for 1 days; the next push or retry settles them"]
    assert "open: 1" in settled.dry
    run = settled.retried
    assert (run["result"]["settled"], run["result"]["open"], run["problems"]) == ("1", "0", [])
    assert settled.pushed["result"]["changed"] == "0"


@dataclass(frozen=True)
class Compared:
    before: dict[str, Any]
    after: dict[str, Any]


@pytest.fixture(scope="module")
def compared(ready: Town, settled: Settled) -> Compared:
    """Reconciled before and after somebody else told Stripe something."""
    before = ready.run("reconcile")
    customer = ready.asked.client.get("/v1/tenants/acme").json()["stripe_customer"]
    form = {"event_name": "order_created", "timestamp": str(int((TODAY - DAY).timestamp()) + 60)}
    form |= {"payload[stripe_customer_id]": customer, "payload[value]": "999"}
    ready.stripe.make("billing/meter_events", form)
    return Compared(before, ready.run("reconcile"))


def test_what_somebody_else_told_stripe_is_found_and_operators_are_told_once(ready: Town, compared: Compared) -> None:
    assert compared.before["problems"] == []
    order = next(each for each in ready.setup("--dry-run")["metrics"] if each["metric"] == "order")
    customer = ready.asked.client.get("/v1/tenants/acme").json()["stripe_customer"]
    (problem,) = compared.after["problems"]
    assert problem == (
        f"stripe_more: tenant 'acme', order, {TODAY - DAY:%Y-%m-%d}: usage 16, ledger 16, Stripe 999 "
        f"(customer {customer}, meter {order['meter']})"
    )
    query = {"type": "billing.run_problems"}
    found: list[dict[str, Any]] = []

    def told() -> bool:
        found[:] = ready.asked.client.get("/v1/notifications", params=query).json()["data"]
        return len(found) >= 2

    wait_until(told, 30, "both runs with problems are told")
    assert len(found) == 2
    shown = ready.asked.client.get(f"/v1/notifications/{found[0]['id']}").json()
    assert (shown["data"]["job"], shown["data"]["problems"], shown["data"]["count"]) == ("reconcile", [problem], 1)
    assert (shown["tenant_id"], shown["data"]["ended_at"]) == ("", compared.after["ended_at"])


def test_an_hour_whose_totals_are_not_its_events_is_told(ready: Town) -> None:
    assert ready.run("check-aggregation")["problems"] == []
    hour = TODAY - DAY + timedelta(hours=5)
    event = {"tenant_id": "acme", "metric": "order", "id": "smuggled", "quantity": "3", "kafka_offset": 10**9}
    event |= {"timestamp": hour.isoformat(), "received_at": hour.isoformat(), "kafka_partition": 0, "kafka_line": 0}
    with closing(ClickHouse(ready.pipeline.clickhouse, ready.pipeline.clickhouse.database)) as edge:
        edge.insert("usage_events_raw", json.dumps(event).encode())
    (problem,) = ready.run("check-aggregation")["problems"]
    assert problem.startswith(
        f"tenant 'acme', order, {hour:%Y-%m-%dT%H:%MZ}: its events come to count 1 and not 0, sum 3"
    )


def test_runs_and_pushes_are_rows(ready: Town, compared: Compared) -> None:
    def rows(sql: str) -> list[dict[str, Any]]:
        return ready.pipeline.query(sql)

    pushes = (
        "SELECT day, revision, value, state, identifier FROM {db}.stripe_pushes WHERE metric = 'order' ORDER BY day"
    )
    wait_until(lambda: [row["state"] for row in rows(pushes)] == ["delivered"] * 3, 30, "all pushes are there")
    last = rows(pushes)[-1]
    assert (last["day"], last["revision"], last["value"]) == (f"{TODAY - DAY:%Y-%m-%d}", 2, 16)
    assert last["identifier"].endswith(f":{last['day']}:r2")
    runs = "SELECT job, state, result, problems FROM {db}.billing_runs WHERE job = 'reconcile' ORDER BY due"
    wait_until(lambda: [row["state"] for row in rows(runs)] == ["done"] * 2, 30, "all runs are there")
    assert [len(row["problems"]) for row in rows(runs)] == [0, 1]
    assert rows(runs)[1]["result"]["stripe_more"] == "1"


def test_a_process_that_ends_in_the_midst_of_a_push_leaves_it_to_the_next(ready: Town, settled: Settled) -> None:
    for number in (1, 2, 3):
        ready.use("acme", "order", "1", TODAY - number * DAY + timedelta(hours=7))
    ending = ready.api("ending", BILLING_ENABLED="false")
    ending.start()
    ready.stripe.control("faults", kind="timeout_after", path=EVENTS, times=1, seconds=3)
    before = len(ready.stripe.requests())
    assert (
        ending.client.post("/v1/billing/runs", json={"job": "push", "due": f"{TODAY:%Y-%m-%d}T00:00:01Z"}).status_code
        == 202
    )
    wait_until(lambda: len(ready.stripe.requests()) > before, 60, "it has called Stripe")
    assert ending.stop() == 0
    assert "Traceback" not in ending.log()
    ready.stripe.clear_faults()
    wait_until(lambda: ready.run("push")["state"] == "done", 60, "another process takes it over")
    assert ready.run("push")["result"]["changed"] == "0"
    assert ready.orders() == {(TODAY - number * DAY).date(): value for number, value in ((1, 17), (2, 13), (3, 14))}


def test_a_subscription_with_other_terms_is_told_and_not_charged_twice(ready: Town) -> None:
    dearer = {**json.loads(PLAN.encode()), "id": "dearer"}
    dearer["versions"][0]["base_fee"] = "299"
    body = {name: dearer[name] for name in ("id", "currency", "versions")}
    assert ready.asked.client.post("/v1/plans", json=body).status_code == 201
    answer = ready.asked.client.put("/v1/tenants/acme/plan", json={"plan": "dearer"})
    assert answer.status_code == 200, answer.text
    found = ready.setup()
    (problem,) = found["problems"]
    assert "two prices of one would charge twice" in problem
    assert "subscription_items" not in found["made"]


def test_without_a_key_of_stripe_it_is_said_what_is_missing(ready: Town) -> None:
    keyless = ready.api("keyless", BILLING_ENABLED="false", STRIPE_KEY="")
    keyless.start()
    try:
        for path, body in (("/v1/billing/runs", {"job": "push"}), ("/v1/billing/stripe/setup", {})):
            answer = keyless.client.post(path, json=body)
            assert (answer.status_code, "METERLINE_STRIPE_KEY" in answer.json()["detail"]) == (409, True), answer.text
    finally:
        assert keyless.stop() == 0
