"""Stripe's events at a real API: a payment that failed is shown and told once, however its events come."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from meterline_api.billing.payments.events import INVOICE_EVENTS, NUMBER
from meterline_api.routes.stripe_webhook import MAX_BYTES
from meterline_deploy.stripe_doctor import examine_endpoint
from meterline_deploy.stripe_stand_in.courier import signature
from meterline_schemas import topics
from meterline_schemas.catalog import Billing, Tenant
from meterline_schemas.roles import Role
from tests.api.process import ApiProcess
from tests.services.clickhouse import ClickHouseServer, execute
from tests.stripe.process import KEY, StandIn
from tests.support import cluster
from tests.support.invoices import invoice
from tests.support.pipeline import Pipeline
from tests.support.ports import free_port
from tests.support.streams import wait_until

PATH = "/v1/stripe/webhook"
OLD = "whsec_that_is_rotated_out"


@dataclass
class Site:
    """An installation whose API Stripe's webhooks lead to; each test has a customer of its own."""

    api: ApiProcess
    stripe: StandIn
    pipeline: Pipeline
    secret: str
    tenants: dict[str, str] = field(default_factory=dict)

    def post(self, body: str, header: str | None) -> httpx.Response:
        given = [] if header is None else [(b"Stripe-Signature", header.encode("latin-1"))]
        url = self.api.client.base_url.join(PATH)
        return httpx.post(url, content=body, headers=given, trust_env=False, timeout=30)

    def send(self, event: dict[str, Any]) -> str:
        """Deliver an event; its outcome."""
        body = json.dumps(event, default=str)  # decimals of the SDK
        answer = self.post(body, signature(body, self.secret, int(time.time())))
        assert answer.status_code == 200, answer.text
        return str(answer.json()["outcome"])

    def payments(self, tenant: str, **query: Any) -> list[Any]:
        answer = self.api.client.get("/v1/payments", params={"tenant_id": tenant, **query})
        assert answer.status_code == 200, answer.text
        return list(answer.json()["data"])

    def wait(self, tenant: str, state: str) -> Any:
        wait_until(lambda: [each["state"] for each in self.payments(tenant)] == [state], 30, f"{tenant} {state}")
        return self.payments(tenant)[0]

    def records(self, topic: str) -> list[Any]:
        found = cluster.read_all(self.pipeline.bootstrap, self.pipeline.prefix + topic)
        return [json.loads(message.value()) for message in found if message.value()]

    def told(self, tenant: str) -> list[Any]:
        every = self.records(topics.NOTIFICATIONS)
        return [each for each in every if each["type"] == "billing.payment_failed" and each["tenant_id"] == tenant]

    def events(self, invoice_: str) -> list[dict[str, Any]]:
        """Those of an invoice, in the order in which Stripe made them."""
        listed = self.stripe.client().v1.events.list({"limit": 100}).auto_paging_iter()
        found = [each.to_dict() for each in listed]
        return [each for each in reversed(found) if each["data"]["object"]["id"] == invoice_]

    def delivered(self) -> None:
        """Until Stripe has no webhook under way."""

        def done() -> bool:
            return all(each["state"] == "delivered" for each in self.stripe.control("deliveries")["deliveries"])

        wait_until(done, 60, "webhooks delivered")


@pytest.fixture(scope="module")
def site(kafka: str, clickhouse_server: ClickHouseServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    database = clickhouse_server.settings(f"pay{uuid.uuid4().hex[:12]}")
    prefix, folder, port = f"pay-{uuid.uuid4().hex[:8]}.", tmp_path_factory.mktemp("payments"), free_port()
    stripe = StandIn(folder)
    stripe.start()
    v1 = stripe.client().v1
    tenants = {name: v1.customers.create({"name": name}).id for name in ("late", "ours", "confirm", "scoped")}
    heard: Any = list(INVOICE_EVENTS)
    made = v1.webhook_endpoints.create({"url": f"http://127.0.0.1:{port}{PATH}", "enabled_events": heard})
    settings = {
        "STRIPE_KEY": KEY,
        "STRIPE_URL": stripe.url,
        "STRIPE_WEBHOOK_SECRETS": f"{OLD},{made.secret}",
        "API_PORT": str(port),
    }
    try:
        with Pipeline(kafka, prefix, folder, database, partitions=2) as pipeline:
            pipeline.configure(
                *(Tenant(id=name, billing=Billing.METER, stripe_customer=id) for name, id in tenants.items())
            )
            pipeline.start("sink", "meterline_sinks")
            api = ApiProcess(kafka, prefix, database, Path(folder), **settings)
            api.start()
            wait_until(lambda: api.client.get("/v1/tenants/late").status_code == 200, 30, "the catalog is known")
            yield Site(api, stripe, pipeline, str(made.secret), tenants)
            assert "Traceback" not in api.log()
            assert "internal error" not in api.log(), api.log()
            api.stop()
    finally:
        stripe.stop()
        clickhouse_server.restore()
        execute(database, f"DROP DATABASE IF EXISTS {database.database} SYNC")


def open_invoice(site: Site, tenant: str, number: str = "") -> str:
    """The id of an invoice at Stripe that is final and not paid."""
    v1, customer = site.stripe.client().v1, site.tenants[tenant]
    about = {NUMBER: number} if number else {}
    v1.invoice_items.create({"customer": customer, "amount": 47850, "currency": "usd", "metadata": about})
    draft = v1.invoices.create(
        {"customer": customer, "auto_advance": True, "pending_invoice_items_behavior": "include"}
    )
    return str(v1.invoices.finalize_invoice(draft.id).id)


def test_a_failed_payment_is_shown_and_told_once_though_delivered_three_times_and_out_of_order(site: Site) -> None:
    site.stripe.settings(payments="fail")
    id = open_invoice(site, "late")
    found = site.wait("late", "failed")
    assert found["reference"] == id
    assert (found["amount_due"], found["currency"], found["attempts"]) == ("478.50", "USD", 1)
    assert "Stripe tries again at" in found["detail"]
    site.stripe.control("clock", {"advance": 3 * 86_400 + 60})
    again = site.wait("late", "retried")
    assert again["attempts"] == 2
    site.delivered()
    events = site.events(id)
    failing = [each for each in events if each["type"] == "invoice.payment_failed"]
    assert len(failing) == 2
    for each in (*reversed(events), *events):
        assert site.send(each) == "known"
    assert {site.send(each) for each in events[:1] * 3} == {"known"}
    assert sorted(each["data"]["attempt"] for each in site.told("late")) == [1, 2]
    assert site.payments("late") == [again]
    site.stripe.settings(payments="succeed")
    site.stripe.client().v1.invoices.pay(id)
    paid = site.wait("late", "paid")
    assert (paid["amount_paid"], paid["detail"], paid["next_attempt_at"]) == ("478.50", "", None)
    site.delivered()
    for each in reversed(events):
        assert site.send(each) == "known"
    assert site.payments("late") == [paid]
    assert len(site.told("late")) == 2
    assert not site.payments("late", state="failed")
    assert site.payments("late", state=["failed", "paid"]) == [paid]


def test_events_that_only_come_backwards_end_at_the_same(site: Site) -> None:
    """The endpoint is off while Stripe makes them."""
    v1 = site.stripe.client().v1
    endpoint = v1.webhook_endpoints.list().data[0].id
    v1.webhook_endpoints.update(endpoint, {"disabled": True})
    site.stripe.settings(payments="fail")
    id = open_invoice(site, "ours")
    site.stripe.settings(payments="succeed")
    v1.webhook_endpoints.update(endpoint, {"disabled": False})
    created, finalized, failed = site.events(id)
    assert [site.send(each) for each in (failed, finalized, created)] == ["recorded", "known", "known"]
    assert site.wait("ours", "failed")["attempts"] == 1
    assert len(site.told("ours")) == 1


def test_our_invoice_shows_the_payment_of_what_collects_it(site: Site) -> None:
    number = "INV-000042"
    sender = cluster.producer(site.pipeline.bootstrap)
    key, value = invoice("confirm", number)
    sender.produce(site.pipeline.prefix + topics.INVOICES, value, key, 0)
    assert sender.flush(30) == 0
    client = site.api.client
    wait_until(lambda: client.get(f"/v1/invoices/{number}").status_code == 200, 30, "the invoice is there")
    assert client.get(f"/v1/invoices/{number}").json()["payment"] is None
    site.stripe.settings(payments="confirm")
    id = open_invoice(site, "confirm", number)
    site.stripe.settings(payments="succeed")
    found = site.wait("confirm", "open")
    assert (found["invoices"], found["reference"]) == ([number], id)
    assert "confirm the payment" in found["detail"]
    v1 = site.stripe.client().v1
    v1.invoices.mark_uncollectible(id)
    site.wait("confirm", "uncollectible")

    def shown() -> Any:
        payment = client.get(f"/v1/invoices/{number}").json()["payment"]
        return payment and payment["state"]

    wait_until(lambda: shown() == "uncollectible", 30, "shown with our invoice")
    listed = client.get("/v1/invoices", params={"payment": ["failed", "uncollectible"]}).json()["data"]
    assert [(each["number"], each["payment"]["reference"]) for each in listed] == [(number, id)]
    assert client.get("/v1/invoices", params={"payment": "paid"}).json()["data"] == []
    v1.invoices.pay(id, {"paid_out_of_band": True})
    wait_until(lambda: shown() == "paid", 30, "paid at last")
    first = client.get(f"/v1/invoices/{number}").content
    assert client.get(f"/v1/invoices/{number}").content == first
    assert site.told("confirm") == []


def test_unsigned_forged_old_and_broken_calls_get_400_and_change_nothing(site: Site) -> None:
    v1 = site.stripe.client().v1
    draft = v1.invoices.create({"customer": site.tenants["scoped"]})
    site.delivered()
    site.wait("scoped", "draft")
    event = {"id": "evt_forged", "object": "event", "type": "invoice.paid", "created": int(time.time())}
    forged = json.dumps({**event, "data": {"object": {**draft.to_dict(), "status": "paid"}}}, default=str)
    now = int(time.time())
    before = len(site.records(topics.PAYMENTS))
    for header, body in (
        (None, forged),
        ("", forged),
        ("t=1,v1=é".encode().decode("latin-1"), forged),
        (signature(forged, "whsec_of_somebody", now), forged),
        (signature(forged, site.secret, now - 301), forged),
        (signature(forged, site.secret, now), forged + " "),
    ):
        answer = site.post(body, header)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_signature"), answer.text
        assert answer.headers["content-type"] == "application/problem+json"
    for wrong in ("", "{", "[]", '{"id":"evt_1"}', json.dumps(event), json.dumps({**event, "created": 10**18})):
        answer = site.post(wrong, signature(wrong, site.secret, now))
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request"), answer.text
    large = " " * (MAX_BYTES + 1)
    assert site.post(large, signature(large, site.secret, now)).status_code == 413
    assert len(site.records(topics.PAYMENTS)) == before
    assert [each["state"] for each in site.payments("scoped")] == ["draft"]


def test_both_secrets_are_good_while_one_is_rotated_and_other_types_are_ignored(site: Site) -> None:
    ping = json.dumps({"id": "evt_ping", "object": "event", "type": "customer.created", "created": 1})
    for secret in (OLD, site.secret):
        answer = site.post(ping, signature(ping, secret, int(time.time())))
        assert (answer.status_code, answer.json()) == (200, {"outcome": "ignored"})
    (finding,) = examine_endpoint(str(site.api.client.base_url), [OLD, site.secret])
    assert finding.level == "ok", "the doctor's own event is taken, and a forged one is not"


def test_whoever_does_not_reach_a_tenant_does_not_see_its_payments(site: Site) -> None:
    client = site.api.client
    before = len(client.get("/v1/payments").json()["data"])
    for tenant in ("late", "scoped", "late", "scoped"):
        site.stripe.client().v1.invoices.create({"customer": site.tenants[tenant]})
    wait_until(lambda: len(client.get("/v1/payments").json()["data"]) == before + 4, 60, "four more payments")
    made = client.post("/v1/keys", json={"role": Role.FINANCE, "tenants": ["late"]}).json()["key"]
    headers = {"Authorization": f"Bearer {made}"}
    found = client.get("/v1/payments", headers=headers).json()["data"]
    assert {each["tenant_id"] for each in found} == {"late"}
    assert client.get("/v1/payments", params={"tenant_id": "scoped"}, headers=headers).status_code == 403
    every: list[Any] = []
    cursor: dict[str, Any] = {}
    while True:
        page = client.get("/v1/payments", params={"limit": 1, **cursor}).json()
        every += page["data"]
        if "next_cursor" not in page:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert every == client.get("/v1/payments").json()["data"]
    assert len({each["reference"] for each in every}) == len(every) >= 4
    assert client.get("/v1/payments", params={"cursor": "x"}).status_code == 422
