"""Webhooks of the Stripe stand-in are verified by the official SDK, sent again, and lead back to the whole event."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import stripe

from tests.stripe.process import StandIn
from tests.stripe.receiver import Receiver, receiving


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def endpoint(api: stripe.StripeClient, receiver: Receiver) -> Iterator[Any]:
    wanted: Any = ["invoice.finalized", "invoice.paid"]
    made = api.v1.webhook_endpoints.create({"url": receiver.url, "enabled_events": wanted})
    yield made
    api.v1.webhook_endpoints.delete(made.id)


def invoice(api: stripe.StripeClient, customer: str) -> Any:
    api.v1.invoice_items.create({"customer": customer, "amount": 125, "currency": "usd", "description": "Overage"})
    draft = api.v1.invoices.create({"customer": customer, "pending_invoice_items_behavior": "include"})
    return api.v1.invoices.finalize_invoice(draft.id)


def test_a_snapshot_is_signed_and_sent_again_until_it_is_answered(
    api: stripe.StripeClient, receiver: Receiver, endpoint: Any, customer: str
) -> None:
    receiver.answers = [500, 302]
    opened = invoice(api, customer)
    sent = receiver.wait(3)
    assert len({body for body, _ in sent}) == 1
    for body, signature in sent:
        event = api.construct_event(body, signature, endpoint.secret)
        assert (event.type, event.data.object["id"]) == ("invoice.finalized", opened.id)
        assert event.data.object["amount_due"] == 125
        assert api.v1.events.retrieve(event.id).type == event.type
    with pytest.raises(stripe.SignatureVerificationError):
        api.construct_event(sent[0][0] + " ", sent[0][1], endpoint.secret)
    with pytest.raises(stripe.SignatureVerificationError):
        api.construct_event(*sent[0], "whsec_wrong")


def test_only_events_that_were_asked_for_are_sent_and_an_event_can_be_sent_again(
    stand_in: StandIn, api: stripe.StripeClient, receiver: Receiver, endpoint: Any, customer: str
) -> None:
    opened = invoice(api, customer)
    api.v1.invoices.pay(opened.id)
    kinds = {json.loads(body)["type"] for body, _ in receiver.wait(2)}
    assert kinds == {"invoice.finalized", "invoice.paid"}
    event = json.loads(receiver.received[0][0])["id"]
    assert stand_in.control("deliveries", {"event": event}) == {"sent": 1}
    assert receiver.wait(3)[2][0] == receiver.received[0][0]


def test_a_failed_payment_is_told_and_remembered(
    stand_in: StandIn, api: stripe.StripeClient, receiver: Receiver, customer: str
) -> None:
    made = api.v1.webhook_endpoints.create({"url": receiver.url, "enabled_events": ["invoice.payment_failed"]})
    stand_in.settings(payments="fail")
    opened = invoice(api, customer)
    with pytest.raises(stripe.CardError):
        api.v1.invoices.pay(opened.id)
    [(body, signature)] = receiver.wait(1)
    assert api.construct_event(body, signature, made.secret).data.object["attempt_count"] == 1
    assert api.v1.invoices.retrieve(opened.id).status == "open"
    stand_in.settings(payments="succeed")
    assert api.v1.invoices.pay(opened.id).status == "paid"
    api.v1.webhook_endpoints.delete(made.id)


def test_events_that_cannot_be_counted_are_reported_thin_with_samples_only(
    stand_in: StandIn, api: stripe.StripeClient, receiver: Receiver, meter: Callable[..., Any], send: Callable[..., Any]
) -> None:
    destination = api.v2.core.event_destinations.create({
        "name": "errors", "type": "webhook_endpoint", "event_payload": "thin",
        "enabled_events": ["v1.billing.meter.error_report_triggered", "v1.billing.meter.no_meter_found"],
        "webhook_endpoint": {"url": receiver.url}, "include": ["webhook_endpoint.signing_secret"],
    })  # fmt: skip
    assert destination.webhook_endpoint
    secret = destination.webhook_endpoint.signing_secret
    stand_in.settings(asynchronous=True, report_seconds=1_000)
    calls = meter()
    for number in range(8):
        send(calls, "half", identifier=f"{calls.id}-{number}")
    send(calls, 1, of="cus_nobody")
    send(stripe.StripeObject.construct_from({"event_name": "none"}, None), 1)
    assert not [place for place in stand_in.values() if place[1] == calls.event_name]
    stand_in.control("reports", {})
    notices: dict[str, Any] = {}
    for body, signature in receiver.wait(2):
        notice = api.parse_event_notification(body, signature, secret)
        notices[notice.type] = notice
        assert "data" not in json.loads(body)
    report = notices["v1.billing.meter.error_report_triggered"]
    assert report.fetch_related_object().id == calls.id
    data = report.fetch_event().data
    found = {each.code: each for each in data.reason.error_types}
    assert {code: each.error_count for code, each in found.items()} == {
        "meter_event_invalid_value": 8,
        "meter_event_customer_not_found": 1,
    }
    samples = found["meter_event_invalid_value"].sample_errors
    assert [each.request.identifier for each in samples] == [f"{calls.id}-{number}" for number in range(5)]
    missing = notices["v1.billing.meter.no_meter_found"].fetch_event().data
    assert missing.reason.error_types[0].code == "no_meter"
