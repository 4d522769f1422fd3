"""`meterline doctor` about Stripe: every defect that is planted is found, in one sentence and with what to do."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest
import stripe
from pydantic import SecretStr

from meterline_api.billing.payments.events import INVOICE_EVENTS, REPORT_EVENTS
from meterline_api.billing.stripe.settings import StripeSettings
from meterline_api.billing.stripe.signature import HEADER, SignatureError, verify
from meterline_deploy.doctor import Finding
from meterline_deploy.stripe_doctor import PATH, examine_endpoint, examine_stripe
from meterline_schemas.catalog import Billing, Book, Entry, Metric, Plan, Span, StripeMeter, Tenant, TenantPlan
from tests.stripe.process import KEY, StandIn

AWAY: Final = "http://127.0.0.1:9"
SECRET: Final = "whsec_of_a_test"
FIRST: Final = "2026-01-01T00:00:00Z"


class Account:
    """An account where all is well with ``acme``, whose plan charges calls; tests make something wrong."""

    def __init__(self, stand_in: StandIn) -> None:
        self.stand_in = stand_in
        self.client = stand_in.client()
        self.v1 = self.client.v1
        self.tag = uuid.uuid4().hex[:8]
        self.meter = self.make_meter(event_time_window="day").id
        self.product = self.v1.products.create({"name": "calls"}).id
        self.price = self.make_price(self.meter)
        self.customer = self.v1.customers.create({"name": "acme"}).id
        self.subscription = self.subscribe()
        heard: Any = list(INVOICE_EVENTS)
        self.endpoint = self.v1.webhook_endpoints.create(
            {"url": f"https://example.com{PATH}", "enabled_events": heard}
        ).id
        made = self.client.v2.core.event_destinations.create({
            "name": "errors", "type": "webhook_endpoint", "event_payload": "thin",
            "enabled_events": list(REPORT_EVENTS), "webhook_endpoint": {"url": f"https://example.com{PATH}"},
        })  # fmt: skip
        self.destination = made.id
        self.entries: list[Entry] = [
            Metric(key="calls"),
            Plan.model_validate(
                {
                    "id": "team",
                    "currency": "USD",
                    "versions": [{"charges": [{"metric": "calls", "price": {"model": "per_unit", "unit_price": 1}}]}],
                }
            ),
            TenantPlan(tenant_id="acme", spans=(Span.model_validate({"start": FIRST, "plan": "team"}),)),
        ]
        self.fields: dict[str, Any] = {"meter": self.meter, "prices": {"team": self.price}}

    def make_meter(self, **fields: Any) -> Any:
        named = {"display_name": "calls", "event_name": f"calls-{self.tag}", "default_aggregation": {"formula": "sum"}}
        params: Any = {**named, **fields}
        return self.v1.billing.meters.create(params)

    def make_price(self, meter: str | None) -> str:
        recurring: Any = {"interval": "month", **({"usage_type": "metered", "meter": meter} if meter else {})}
        made = self.v1.prices.create(
            {"product": self.product, "currency": "usd", "unit_amount": 1, "recurring": recurring}
        )
        return str(made.id)

    def subscribe(self) -> str:
        made = self.v1.subscriptions.create({"customer": self.customer, "items": [{"price": self.price}]})
        return str(made.id)

    def wrong(self, billing: Billing = Billing.METER, api: str = AWAY, **settings: Any) -> list[str]:
        """What is wrong besides the endpoint of ours, which is away, as ``subject: found``."""
        return [f"{each.subject}: {each.found}" for each in self.findings(billing, api, **settings) if told(each)]

    def findings(self, billing: Billing = Billing.METER, api: str = AWAY, **settings: Any) -> list[Finding]:
        book = Book()
        meter = StripeMeter(metric="calls", event_name=f"calls-{self.tag}", **self.fields)
        tenant = Tenant(id="acme", billing=billing, stripe_customer=self.customer)
        for entry in (*self.entries, meter, tenant):
            assert book.apply(entry.record_key, entry.encode()) is None
        fields = {"key": SecretStr(KEY), "url": self.stand_in.url, "webhook_secrets": SecretStr(SECRET), **settings}
        return list(examine_stripe(StripeSettings(**fields), lambda: book, api))


def told(finding: Finding) -> bool:
    if finding.level != "wrong":
        return False
    assert finding.fix
    assert "\n" not in finding.found + finding.fix
    return finding.subject != "stripe webhook"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    stand_in = StandIn(tmp_path_factory.mktemp("stripe"))
    stand_in.start()
    yield stand_in
    stand_in.stop()


@pytest.fixture
def account(running: StandIn) -> Iterator[Account]:
    made = Account(running)
    yield made
    made.v1.webhook_endpoints.delete(made.endpoint)
    made.client.v2.core.event_destinations.disable(made.destination)


def test_where_all_is_well_nothing_is_wrong(account: Account) -> None:
    assert account.wrong() == []
    said = {each.subject: each.found for each in account.findings()}
    assert "test mode, API version" in said["stripe"]
    assert "which is not Stripe's own address" in said["stripe"]
    assert said["stripe tenants"] == "1 billed there, each with what it needs"


def test_without_a_key_it_says_that_nothing_is_pushed(account: Account) -> None:
    (finding,) = account.findings(key=SecretStr(""))
    assert finding.level == "wrong"
    assert "nothing is pushed, though 1 tenants are billed there" in finding.found
    (finding,) = examine_stripe(StripeSettings(), Book, AWAY)
    assert (finding.level, finding.fix) == ("note", "")
    assert "nothing is pushed" in finding.found


def test_a_key_that_stripe_does_not_take_and_a_server_that_is_away_are_told(account: Account) -> None:
    (found,) = account.wrong(key=SecretStr("sk_live_wrong"))
    assert "Invalid API Key" in found
    (found,) = account.wrong(url=AWAY)
    assert "Stripe did not say whose key it is" in found


def test_meters_that_are_gone_inactive_or_of_another_shape_are_told(account: Account) -> None:
    account.v1.billing.meters.deactivate(account.meter)
    (found,) = account.wrong()
    assert found == f"stripe meter calls: meter {account.meter} is inactive: usage is refused"
    raw = account.make_meter()
    account.fields = {"meter": raw.id, "prices": {}, "customer_key": "who"}
    found = "\n".join(account.wrong())
    assert "event_time_window of meter" in found
    assert "customer_mapping of meter" in found
    account.fields = {"meter": "mtr_nobody", "prices": {}}
    assert "stripe meter calls: Stripe has no meter mtr_nobody: what is pushed is not counted" in account.wrong()
    account.fields = {"meter": raw.id, "prices": {}}
    account.tag = "other"
    assert any("event_name of meter" in each for each in account.wrong())


def test_prices_that_are_gone_inactive_or_count_by_nothing_are_told(account: Account) -> None:
    account.v1.prices.update(account.price, {"active": False})
    assert account.wrong() == [f"stripe meter calls: price {account.price} of plan team is not active"]
    flat = account.make_price(None)
    account.fields["prices"] = {"team": flat, "gone": "price_nobody"}
    assert account.wrong() == [
        "stripe meter calls: Stripe has no price price_nobody for plan gone",
        f"stripe meter calls: price {flat} of plan team counts by no meter and not by {account.meter}",
    ]


def test_a_tenant_that_is_not_charged_or_charged_twice_is_told(account: Account) -> None:
    first = account.subscription
    second = account.subscribe()
    (found,) = account.wrong()
    assert "tenant acme: calls is charged 2 times" in found
    assert first in found
    assert second in found
    for each in (first, second):
        account.v1.subscriptions.cancel(each)
    (found,) = account.wrong()
    assert found == (
        f"tenant acme: no subscription of customer {account.customer} has an item that counts calls: it is not charged"
    )
    assert account.wrong(Billing.INVOICE_ITEMS) == [], "items need no subscription"
    account.customer = "cus_nobody"
    for way in (Billing.METER, Billing.INVOICE_ITEMS):
        assert account.wrong(way) == ["tenant acme: Stripe has no customer cus_nobody: its usage is refused"]
    assert account.wrong(Billing.INVOICE) == []


def test_a_tenant_on_no_plan_or_on_one_without_a_meter_is_told(account: Account) -> None:
    *others, spans = account.entries
    account.entries = others
    assert account.wrong() == ["tenant acme: it is on no plan, so nothing is charged"]
    more = {"metric": "orders", "price": {"model": "per_unit", "unit_price": 1}}
    plan = next(each for each in others if isinstance(each, Plan)).model_dump(mode="json")
    plan["versions"][0]["charges"].append(more)
    account.entries = [*others, Metric(key="orders"), Plan.model_validate(plan), spans]
    assert account.wrong() == ["tenant acme: plan team charges orders, which has no meter: it is not charged"]


def test_many_of_the_like_are_counted(account: Account) -> None:
    account.entries += [
        Tenant(id=f"t-{number:02}", billing=Billing.INVOICE_ITEMS, stripe_customer=f"cus_none{number}")
        for number in range(25)
    ]
    found = account.wrong()
    assert len(found) == 21
    assert found[-1] == "stripe tenants: 5 more of the like"


def test_webhooks_that_are_missing_disabled_or_silent_are_told(account: Account) -> None:
    v1, destinations = account.v1, account.client.v2.core.event_destinations
    few: Any = ["invoice.paid"]
    v1.webhook_endpoints.update(account.endpoint, {"enabled_events": few})
    (found,) = account.wrong()
    assert found.startswith(f"webhook of payments: {account.endpoint} does not send invoice.created, invoice.finalized")
    v1.webhook_endpoints.update(account.endpoint, {"disabled": True})
    destinations.disable(account.destination)
    assert f"webhook of payments: {account.endpoint} is disabled at Stripe" in account.wrong()
    assert sum("webhook of meter errors" in each for each in account.wrong()) == 1
    v1.webhook_endpoints.update(account.endpoint, {"url": "https://example.com/elsewhere"})
    assert f"webhook of payments: nothing at Stripe leads to {PATH}: what it tells is not heard" in account.wrong()


@contextmanager
def endpoint(secrets: list[str], status: int = 200) -> Iterator[str]:
    """An API that takes what ``secrets`` signed."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            try:
                verify(body, self.headers[HEADER], secrets, 300)
                self.send_response(status)
            except SignatureError:
                self.send_response(400 if secrets else 200)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_our_own_endpoint_must_take_what_is_signed_and_nothing_else() -> None:
    def found(url: str, *secrets: str) -> list[tuple[str, str]]:
        return [(each.level, each.found) for each in examine_endpoint(url, secrets)]

    with endpoint(["whsec_a", "whsec_b"]) as url:
        assert found(url, "whsec_a", "whsec_b") == [("ok", f"{url}{PATH} takes signed events, and no others")]
        assert found(url, "whsec_a", "whsec_c") == [
            ("wrong", f"{url}{PATH} answers 400 to an event that secret 2 signed")
        ]
    with endpoint([]) as url:
        assert found(url, "whsec_a") == [("wrong", f"{url}{PATH} answers 200 to an event that nobody signed")]
    assert found(AWAY, "whsec_a") == [("wrong", f"{AWAY}{PATH} does not answer")]
    ((level, text),) = found(AWAY)
    assert level == "wrong"
    assert "METERLINE_STRIPE_WEBHOOK_SECRETS is not set" in text


def test_every_request_of_the_doctor_is_one_that_stripes_specification_has(tmp_path: Path) -> None:
    from meterline_api.billing.stripe.client import Stripe
    from tests.stripe import mock

    with mock.running(tmp_path) as url:
        objects = Stripe(StripeSettings(key=SecretStr("sk_test_1"), url=url))
        assert objects.account()[0].startswith("acct_")
        for kind in ("billing.meters", "prices", "customers", "subscriptions", "webhook_endpoints"):
            assert next(iter(objects.all(kind)))["object"]
        assert next(iter(objects.all("subscription_items", {"subscription": "sub_1"})))["object"] == "subscription_item"
        assert objects.one("invoices", "in_1")["object"] == "invoice"


def test_the_sdk_is_the_only_one_who_knows_the_version() -> None:
    from meterline_api.billing.stripe.client import API_VERSION

    assert stripe.api_version == API_VERSION
