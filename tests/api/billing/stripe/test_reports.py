"""Usage that Stripe took and does not count: its event sets the pushes refused, and the retry sends them again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import stripe

from meterline_schemas import topics
from meterline_schemas.billing.payment import read_report
from meterline_schemas.billing.push import Push, PushState, identified
from tests.api.billing.stripe.company import Company
from tests.api.billing.stripe.stand_in import KEY, StandIn
from tests.api.process import ApiProcess
from tests.support import cluster
from tests.support.ports import free_port
from tests.support.streams import wait_until

PATH = "/v1/stripe/webhook"
REPORTS: Any = ["v1.billing.meter.error_report_triggered", "v1.billing.meter.no_meter_found"]


@pytest.fixture
def listening(company: Company, stand_in: StandIn, tmp_path: Path) -> Iterator[ApiProcess]:
    """An API that the stand-in's thin events lead to, with the company's catalog."""
    sender = cluster.producer(company.kafka.kafka)
    for entry in company.entries:
        sender.produce(company.kafka.topic(topics.CONFIG), entry.encode(), key=entry.record_key)
    assert sender.flush(30) == 0
    port = free_port()
    made = client(stand_in).v2.core.event_destinations.create({
        "name": "errors", "type": "webhook_endpoint", "event_payload": "thin", "enabled_events": REPORTS,
        "webhook_endpoint": {"url": f"http://127.0.0.1:{port}{PATH}"}, "include": ["webhook_endpoint.signing_secret"],
    })  # fmt: skip
    assert made.webhook_endpoint
    settings = {
        "STRIPE_KEY": KEY,
        "STRIPE_URL": stand_in.url,
        "STRIPE_WEBHOOK_SECRETS": str(made.webhook_endpoint.signing_secret),
        "API_PORT": str(port),
    }
    api = ApiProcess(company.kafka.kafka, company.kafka.topic_prefix, None, tmp_path, **settings)
    api.start()
    stand_in.control("settings", asynchronous=True, report_seconds=1000)
    yield api
    stand_in.control("settings", asynchronous=False, report_seconds=0.5)
    client(stand_in).v2.core.event_destinations.disable(made.id)
    assert "Traceback" not in api.log()
    api.stop()


def client(stand_in: StandIn) -> stripe.StripeClient:
    return stripe.StripeClient(KEY, base_addresses={"api": stand_in.url}, http_client=stripe.RequestsClient(timeout=10))


def newest(company: Company) -> dict[bytes, Push]:
    return {push.key: push for push in company.records()}


def told(company: Company) -> list[Any]:
    found = cluster.read_all(company.kafka.kafka, company.kafka.topic(topics.NOTIFICATIONS))
    return [json.loads(each.value()) for each in found if b"billing.usage_refused" in each.value()]


def test_an_error_report_sets_pushes_refused_and_the_retry_sends_them_again(
    company: Company, stand_in: StandIn, listening: ApiProcess
) -> None:
    calls = company.terms.meters["calls"].meter
    v1 = client(stand_in).v1
    v1.billing.meters.deactivate(calls)
    company.use(days=1)
    run = company.run()
    assert (run["delivered"], run["refused"]) == (6, 0), "Stripe answered 200 to all of them"
    stand_in.control("reports")
    wait_until(lambda: len(told(company)) == 1, 30, "told of what is not counted")
    (notice,) = told(company)
    data = notice["data"]
    assert (data["meter"], data["metric"], data["count"]) == (calls, "calls", 3)
    assert [each["code"] for each in data["reasons"]] == ["archived_meter"]
    assert {each["tenant_id"] for each in data["pushes"]} == set(company.tenants)
    refused = [push for push in newest(company).values() if push.state is PushState.REFUSED]
    assert {push.identifier for push in refused} == {each["identifier"] for each in data["pushes"]}
    assert all(push.reported and "archived_meter" in push.detail for push in refused)
    event = data["event"]
    assert stand_in.control("deliveries", event=event) == {"sent": 1}
    forged = httpx.post(str(listening.client.base_url.join(PATH)), json={"id": event}, trust_env=False)
    assert forged.status_code == 400
    v1.billing.meters.reactivate(calls)
    again = company.run("retry")
    assert (again["due"]["again"], again["delivered"]) == (3, 3)
    company.check()
    assert {push.revision for push in newest(company).values() if push.meter == calls} == {2}
    done = httpx.get(f"{stand_in.url}/_control/deliveries", trust_env=False).json()["deliveries"]
    wait_until(lambda: all(each["state"] != "pending" for each in done), 30, "delivered once more")
    assert len(told(company)) == 1
    kept = cluster.read_all(company.kafka.kafka, company.kafka.topic(topics.PAYMENTS))
    (report,) = [read_report(each.value()) for each in kept]
    assert (report.event, report.meter, report.count) == (event, calls, 3)
    assert all(push.state is PushState.DELIVERED for push in newest(company).values())


def test_a_refusal_that_comes_before_the_outcome_of_its_own_push_stands(company: Company) -> None:
    company.use(days=1)
    site = company.site()
    asyncio.run(site.pusher.push(company.totals(), company.terms))
    first, second, *_others = newest(company).values()
    later = msgspec.structs.replace(first, revision=2, state=PushState.INTENT, value=first.value + 1)
    assert site.ledger.intend([later]).standing == (later,)
    why = {later.identifier: "no_meter: gone", second.identifier: "no_meter: gone", first.identifier: "older", "x": "y"}
    rejected = site.ledger.reject(why, "evt_1", later.at)
    assert {push.identifier for push in rejected} == {later.identifier, second.identifier}
    site.ledger.settle([msgspec.structs.replace(later, state=PushState.DELIVERED)])
    assert newest(company)[later.key].state is PushState.REFUSED
    assert {push.identifier for push in site.ledger.reject(why, "evt_1", later.at)} == {
        later.identifier,
        second.identifier,
    }
    assert site.ledger.reject(why, "evt_2", later.at) == [], "what is refused stays as the first event said"


def test_identifiers_are_read_back_and_those_of_others_are_not() -> None:
    push = identified("cus_1:mtr_2:2026-11-20:r3")
    assert push is not None
    assert (push.customer, push.meter, push.day.isoformat(), push.revision) == ("cus_1", "mtr_2", "2026-11-20", 3)
    for other in (
        "",
        "x",
        "a:b:c:r1",
        "a:b:2026-13-01:r1",
        "a:b:2026-11-20:r0",
        "a:b:2026-11-20:r1:x",
        "a/b:c:2026-11-20:r1",
    ):
        assert identified(other) is None
