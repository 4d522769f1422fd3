"""What ``meterline doctor`` finds of Stripe: from the key to an event that comes back, and what to do about each."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from meterline_api.billing.payments.events import INVOICE_EVENTS, REPORT_EVENTS
from meterline_api.billing.stripe.client import API_VERSION, Stripe
from meterline_api.billing.stripe.settings import StripeSettings
from meterline_api.billing.stripe.signature import HEADER, signed
from meterline_deploy.catalog import read_catalog
from meterline_deploy.doctor import Finding
from meterline_schemas.catalog import Billing, Book, StripeMeter, Tenant
from meterline_schemas.errors import MeterlineError
from meterline_schemas.settings import KafkaSettings

PATH: Final = "/v1/stripe/webhook"
PING: Final = '{"id":"evt_meterline_doctor","object":"event","type":"meterline.doctor","created":0}'
AGAIN: Final = "run `meterline stripe setup`"
_SECONDS: Final = 10.0
_MOST: Final = 20  # tenants that are named
_RUNNING: Final = frozenset({"active", "trialing", "past_due"})

Found = Mapping[str, Any]


class Objects(Protocol):
    """Stripe's objects."""

    def account(self) -> tuple[str, str]: ...

    def all(self, kind: str, params: Mapping[str, Any] | None = None) -> Iterator[Found]: ...


def catalog_of(kafka: KafkaSettings) -> Book:
    """The catalog; empty where Kafka does not give it, which is a finding of its own."""
    try:
        return read_catalog(kafka)
    except MeterlineError:
        return Book()


def examine_stripe(settings: StripeSettings, catalog: Callable[[], Book], api_url: str) -> Iterator[Finding]:
    """From end to end: the key, what was set up, who is billed, and the way back of Stripe's events."""
    book = catalog()
    billed = [each for each in book.all(Tenant) if each.billing.by_stripe and not each.excluded]
    if not settings.configured:
        if billed:
            found = f"METERLINE_STRIPE_KEY is not set: nothing is pushed, though {len(billed)} tenants are billed there"
            yield Finding("stripe", "wrong", found, "set it to a secret key, or change `billing` of these tenants")
        else:
            yield Finding("stripe", "note", "METERLINE_STRIPE_KEY is not set: nothing is pushed to Stripe")
        return
    stripe = Stripe(settings)
    try:
        yield examine_key(settings, stripe)
        yield from examine_meters(stripe, book)
        yield from examine_tenants(stripe, book, billed, datetime.now(UTC))
        yield from examine_webhooks(stripe)
    except MeterlineError as error:
        fix = "correct METERLINE_STRIPE_KEY, let a restricted key read what is named, and see that Stripe answers"
        yield Finding("stripe", "wrong", str(error), fix)
    yield from examine_endpoint(api_url, settings.signing_secrets)


def examine_key(settings: StripeSettings, stripe: Objects) -> Finding:
    """Raises MeterlineError: Stripe does not take it."""
    key = settings.key.get_secret_value()
    mode = "live" if key.startswith(("sk_live_", "rk_live_")) else "test"
    where = "" if settings.url == "https://api.stripe.com" else f" at {settings.url}, which is not Stripe's own address"
    if key.startswith("rk_"):  # it need not read its account; what it must read is read below
        return Finding("stripe", "ok", f"restricted key, {mode} mode{where}")
    account, version = stripe.account()
    if version != API_VERSION:
        found = f"it answers in API version {version or 'unknown'}, and {API_VERSION} is spoken here"
        return Finding("stripe", "wrong", found, "install the version of Meterline, or of the stand-in, that fits")
    return Finding("stripe", "ok", f"account {account}, {mode} mode, API version {version}{where}")


# what was set up


def examine_meters(stripe: Objects, book: Book) -> Iterator[Finding]:
    meters = list(book.all(StripeMeter))
    if not meters:
        yield Finding("stripe meters", "note", "no metric has a meter: no usage is pushed")
        return
    there = {str(each["id"]): each for each in stripe.all("billing.meters")}
    prices = {str(each["id"]): each for each in stripe.all("prices")}
    for meter in meters:
        wrong = [*_meter(meter, there.get(meter.meter)), *_prices(meter, prices, book)]
        subject = f"stripe meter {meter.metric}"
        yield from (Finding(subject, "wrong", found, fix) for found, fix in wrong)
        if not wrong:
            yield Finding(
                subject, "ok", f"{meter.meter} takes {meter.event_name}, {len(meter.prices)} prices count by it"
            )


def _meter(meter: StripeMeter, found: Found | None) -> Iterator[tuple[str, str]]:
    if found is None:
        yield f"Stripe has no meter {meter.meter}: what is pushed is not counted", AGAIN
        return
    if found["status"] != "active":
        yield f"meter {meter.meter} is {found['status']}: usage is refused", f"reactivate {meter.meter} at Stripe"
    wanted = {
        "event_name": meter.event_name,
        "event_time_window": "day",
        "default_aggregation": {"formula": "sum"},
        "customer_mapping": {"type": "by_id", "event_payload_key": meter.customer_key},
        "value_settings": {"event_payload_key": meter.value_key},
    }
    for name, value in wanted.items():
        if found.get(name) != value:
            text = f"{name} of meter {meter.meter} is {found.get(name)}, and {value} is pushed to"
            yield text, f"it cannot be changed: choose another event_name, and {AGAIN}"


def _prices(meter: StripeMeter, there: Mapping[str, Found], book: Book) -> Iterator[tuple[str, str]]:
    for plan, id in sorted(meter.prices.items()):
        price = there.get(id)
        if price is None:
            yield f"Stripe has no price {id} for plan {plan}", AGAIN
            continue
        recurring = price.get("recurring") or {}
        if not price["active"]:
            yield f"price {id} of plan {plan} is not active", f"activate {id} at Stripe, or {AGAIN}"
        if (recurring.get("usage_type"), recurring.get("meter")) != ("metered", meter.meter):
            counts = recurring.get("meter") or "no meter"
            yield f"price {id} of plan {plan} counts by {counts} and not by {meter.meter}", AGAIN


# who is billed


def examine_tenants(stripe: Objects, book: Book, billed: Sequence[Tenant], now: datetime) -> Iterator[Finding]:
    """That each has its customer and, billed by meters, one item that counts each metric of its plan."""
    if not billed:
        yield Finding("stripe tenants", "note", "no tenant is billed at Stripe")
        return
    customers = {str(each["id"]) for each in stripe.all("customers")}
    counted = _counted(stripe) if any(each.billing is Billing.METER for each in billed) else {}
    wrong = [(tenant, *each) for tenant in billed for each in _tenant(tenant, book, customers, counted, now)]
    for tenant, found, fix in wrong[:_MOST]:
        yield Finding(f"tenant {tenant.id}", "wrong", found, fix)
    if len(wrong) > _MOST:
        yield Finding(
            "stripe tenants", "wrong", f"{len(wrong) - _MOST} more of the like", "mend those first, then look again"
        )
    if not wrong:
        yield Finding("stripe tenants", "ok", f"{len(billed)} billed there, each with what it needs")


def _tenant(
    tenant: Tenant, book: Book, customers: set[str], counted: Mapping[tuple[str, str], Sequence[str]], now: datetime
) -> Iterator[tuple[str, str]]:
    customer = tenant.stripe_customer
    if customer not in customers:
        yield (
            f"Stripe has no customer {customer}: its usage is refused",
            "map the tenant to a customer that exists (`stripe_customer`)",
        )
        return
    if tenant.billing is not Billing.METER:
        return
    plan = book.plan_of(tenant.id, now)
    if plan is None:
        yield "it is on no plan, so nothing is charged", f"put it on one: PUT /v1/tenants/{tenant.id}/plan"
        return
    for charge in plan.at(now).charges:
        meter = book.find(StripeMeter, charge.metric)
        if meter is None:
            yield (
                f"plan {plan.id} charges {charge.metric}, which has no meter: it is not charged",
                f"{AGAIN}, or bill the tenant by invoice_items",
            )
            continue
        subscriptions = counted.get((customer, meter.meter), ())
        if not subscriptions:
            yield (
                f"no subscription of customer {customer} has an item that counts {charge.metric}: it is not charged",
                f"run `meterline stripe setup --tenant {tenant.id}`",
            )
        elif len(subscriptions) > 1:
            yield (
                f"{charge.metric} is charged {len(subscriptions)} times, by items of {', '.join(subscriptions)}",
                "remove all of them but one at Stripe: each charges the same usage",
            )


def _counted(stripe: Objects) -> Mapping[tuple[str, str], list[str]]:
    """By customer and meter the subscriptions that count it, once for each item."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for subscription in stripe.all("subscriptions"):
        if subscription["status"] not in _RUNNING:
            continue
        id, items = str(subscription["id"]), subscription["items"]
        every = stripe.all("subscription_items", {"subscription": id}) if items["has_more"] else items["data"]
        for item in every:
            meter = (item["price"].get("recurring") or {}).get("meter")
            if meter:
                found[str(subscription["customer"]), str(meter)].append(id)
    return found


# the way back


def examine_webhooks(stripe: Objects) -> Iterator[Finding]:
    """That Stripe sends what is listened for: snapshots of invoices, and thin events of meters' errors."""
    endpoints = [_Place(each, each["url"], "snapshot") for each in stripe.all("webhook_endpoints")]
    listed = stripe.all("v2.core.event_destinations", {"include": ["webhook_endpoint.url"]})
    destinations = [
        _Place(each, (each.get("webhook_endpoint") or {}).get("url"), each["event_payload"]) for each in listed
    ]
    ours = [each for each in (*endpoints, *destinations) if (each.url or "").rstrip("/").endswith(PATH)]
    for payload, needed, what in (
        ("snapshot", INVOICE_EVENTS, "webhook of payments"),
        ("thin", REPORT_EVENTS, "webhook of meter errors"),
    ):
        yield _webhook([each for each in ours if each.payload == payload], needed, what, payload)
    for each in ours:
        version = each.found.get("api_version") or each.found.get("snapshot_api_version")
        if each.payload == "snapshot" and version and version != API_VERSION:
            text = f"{each.found['id']} sends objects of API version {version}, and {API_VERSION} is spoken here"
            yield Finding("webhook of payments", "note", text, f"make it anew with api_version {API_VERSION}")


class _Place:
    """Where Stripe sends events: a webhook endpoint, or an event destination."""

    def __init__(self, found: Found, url: str | None, payload: str) -> None:
        self.found, self.url, self.payload = found, url, payload
        self.enabled = found["status"] == "enabled"
        self.events = frozenset(found["enabled_events"])


def _webhook(places: Iterable[_Place], needed: Sequence[str], what: str, payload: str) -> Finding:
    places = list(places)
    add = f"send {', '.join(needed)} as {payload} events to https://<this API>{PATH}"
    if not places:
        return Finding(what, "wrong", f"nothing at Stripe leads to {PATH}: what it tells is not heard", add)
    enabled = [each for each in places if each.enabled]
    if not enabled:
        return Finding(what, "wrong", f"{places[0].found['id']} is disabled at Stripe", "enable it at Stripe")
    sent = frozenset[str]().union(*(each.events for each in enabled))
    missing = [] if "*" in sent else [name for name in needed if name not in sent]
    if missing:
        return Finding(
            what, "wrong", f"{enabled[0].found['id']} does not send {', '.join(missing)}", f"at Stripe, {add}"
        )
    return Finding(what, "ok", f"{enabled[0].found['id']} leads to {enabled[0].url}")


def examine_endpoint(api_url: str, secrets: Sequence[str]) -> Iterator[Finding]:
    """That our own endpoint takes what is signed with each of the secrets, and nothing else. It changes nothing."""
    url, subject = api_url.rstrip("/") + PATH, "stripe webhook"
    if not secrets:
        found = "METERLINE_STRIPE_WEBHOOK_SECRETS is not set: every event of Stripe's is refused"
        yield Finding(
            subject, "wrong", found, "set it, here and for the API, to the secrets that Stripe shows (whsec_…)"
        )
        return
    answered = [(_post(url, signed(PING, secret)), number) for number, secret in enumerate(secrets, 1)]
    for status, number in answered:
        if status is None:
            yield Finding(subject, "wrong", f"{url} does not answer", "start the API, or correct METERLINE_API_URL")
            return
        if status != 200:
            found = f"{url} answers {status} to an event that secret {number} signed"
            yield Finding(subject, "wrong", found, "give the API the same METERLINE_STRIPE_WEBHOOK_SECRETS")
    forged = _post(url, signed(PING, "whsec_of_nobody"))
    if forged != 400:
        fix = "see that nothing but Meterline answers there"
        yield Finding(subject, "wrong", f"{url} answers {forged} to an event that nobody signed", fix)
    elif all(status == 200 for status, _number in answered):
        yield Finding(subject, "ok", f"{url} takes signed events, and no others")


def _post(url: str, signature: str) -> int | None:
    headers = {"Content-Type": "application/json", HEADER: signature}
    asked = urllib.request.Request(url, PING.encode(), headers, method="POST")
    try:
        with urllib.request.urlopen(asked, timeout=_SECONDS) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except OSError:
        return None
