"""What events tell of an invoice comes to the same in whatever order, and however often, they come."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterline_api.billing.payments.events import (
    NUMBER,
    EventError,
    fetched_invoice,
    merged,
    read_event,
    read_invoice,
    report_of,
    unsure,
)
from meterline_api.billing.payments.notices import failure
from meterline_schemas.billing.invoice import PaymentState
from meterline_schemas.billing.payment import StripeInvoice, encode, read_stripe_invoice

MADE = 1_764_547_200
CUSTOMER = "cus_1"


def body(type: str, at: int, **fields: Any) -> bytes:
    """A snapshot, ``at`` seconds after the invoice was made."""
    document = {
        "id": "in_1", "object": "invoice", "customer": CUSTOMER, "created": MADE, "currency": "usd", "status": "open",
        "amount_due": 47850, "amount_paid": 0, "attempt_count": 0, "next_payment_attempt": None, "number": None,
        "metadata": {}, "lines": {"data": [], "has_more": False}, **fields,
    }  # fmt: skip
    event = {"id": f"evt_{at}", "object": "event", "type": f"invoice.{type}", "created": MADE + at}
    return json.dumps({**event, "data": {"object": document}}).encode()


def seen(type: str, at: int, **fields: Any) -> StripeInvoice:
    return read_invoice(read_event(body(type, at, **fields))).invoice


def life(failures: int, end: str) -> list[StripeInvoice]:
    """An invoice's events as Stripe makes them."""
    moments = {"finalized_at": MADE + 3600}
    found = [
        seen("created", 0, status="draft"),
        seen("finalized", 3600, status_transitions=moments, number="ACME-1"),
        seen("updated", 3601, status_transitions=moments, metadata={NUMBER: "INV-000001"}),
    ]
    for attempt in range(1, failures + 1):
        at = 3600 + attempt * 86_400
        again = MADE + at + 86_400 if attempt < 4 else None
        found.append(
            seen("payment_failed", at, attempt_count=attempt, next_payment_attempt=again, status_transitions=moments)
        )
    at = 3600 + 5 * 86_400
    if end == "paid":
        paid = {"status": "paid", "amount_paid": 47850, "status_transitions": {**moments, "paid_at": MADE + at}}
        found.append(seen("paid", at, attempt_count=failures + 1, **paid))
    elif end != "open":
        name = {"void": "voided", "uncollectible": "marked_uncollectible"}[end]
        found.append(seen(name, at, status=end, status_transitions={**moments, f"{name}_at": MADE + at}))
    return found


def known(events: Sequence[StripeInvoice]) -> StripeInvoice:
    found: StripeInvoice | None = None
    for each in events:
        found = merged(found, each)
    assert found is not None
    return found


@given(st.integers(0, 4), st.sampled_from(["open", "paid", "void", "uncollectible"]), st.data())
def test_order_and_repetition_change_nothing(failures: int, end: str, data: st.DataObject) -> None:
    events = life(failures, end)
    right = known(events)
    shuffled = data.draw(st.permutations([*events, *data.draw(st.lists(st.sampled_from(events), max_size=6))]))
    assert known(shuffled) == right
    state = right.state
    if end == "open":
        assert state is [PaymentState.OPEN, PaymentState.FAILED, *[PaymentState.RETRIED] * 3][failures]
    else:
        assert state is PaymentState(end)
    assert right.numbers == ("INV-000001",)
    assert right.their_number == "ACME-1"


@given(st.integers(0, 4), st.sampled_from(["open", "paid", "void", "uncollectible"]), st.integers(0, 9))
def test_what_is_final_is_never_taken_back(failures: int, end: str, late: int) -> None:
    events = life(failures, end)
    right = known(events)
    again = merged(right, events[late % len(events)])
    assert again == right


def test_each_failed_attempt_is_told_once_and_none_of_what_is_paid() -> None:
    events = life(2, "open")
    state = known(events)
    first, second = events[-2:]
    told = [failure(each, state) for each in (first, second)]
    assert [each is not None and json.loads(bytes(each.data))["attempt"] for each in told] == [1, 2]
    assert told[0] is not None
    assert told[0] == failure(first, state), "a repeat has the same id"
    assert json.loads(bytes(told[0].data))["amount_due"] == "478.50"
    assert failure(first, known(life(2, "paid"))) is None
    assert failure(events[0], state) is None


def test_two_snapshots_of_one_second_that_differ_leave_it_to_stripe() -> None:
    one = seen("updated", 10, next_payment_attempt=MADE + 1)
    other = seen("updated", 10, next_payment_attempt=MADE + 2)
    assert unsure(one, other)
    assert not unsure(one, one)
    assert not unsure(None, one)
    assert not unsure(one, seen("updated", 11))
    assert merged(one, other) == merged(other, one)
    now = {
        "id": "in_1",
        "customer": CUSTOMER,
        "created": MADE,
        "currency": "usd",
        "status": "open",
        "amount_due": 47850,
    }
    fetched = fetched_invoice({**now, "next_payment_attempt": MADE + 3}, datetime.fromtimestamp(MADE + 20, UTC)).invoice
    assert merged(merged(one, other), fetched).next_attempt_at == datetime.fromtimestamp(MADE + 3, UTC)


def test_it_says_what_has_to_be_done() -> None:
    again = known(life(1, "open"))
    assert again.detail.startswith("attempt 1 to collect it failed; Stripe tries again at 2025-12-03")
    assert "does not try again" in known(life(4, "open")).detail
    assert "confirm" in known([*life(0, "open"), seen("payment_action_required", 9000, attempt_count=1)]).detail
    assert known(life(4, "paid")).detail == ""
    assert again.at == again.created_at + timedelta(seconds=3600 + 86_400)


@given(st.sampled_from(["usd", "jpy", "kwd", "isk", "xyz"]), st.integers(0, 10**12))
def test_amounts_are_in_units_of_their_currency_and_are_kept_exactly(currency: str, minor: int) -> None:
    invoice = seen("finalized", 1, currency=currency, amount_due=minor)
    digits = {"jpy": 0, "kwd": 3}.get(currency, 2)
    assert invoice.amount_due * 10**digits == Decimal(minor)
    assert read_stripe_invoice(encode(invoice)) == invoice


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"[]",
        b"{",
        b'{"id":1}',
        b'{"id":"evt_1","object":"charge","type":"invoice.paid","created":1}',
        b'{"id":"evt_1","object":"event","type":"invoice.paid","created":99999999999999999}',
        b"[" * 5000,
        b'{"id":"evt_1","object":"event","type":"invoice.paid","created":1}',
        b'{"id":"evt_1","object":"event","type":"invoice.paid","created":1,"data":{"object":{"id":"in_1"}}}',
        body("paid", 1, status="lost"),
        body("paid", 1, created=10**18),
    ],
)
def test_what_is_no_event_is_refused_in_a_sentence(wrong: bytes) -> None:
    with pytest.raises(EventError) as error:
        read_invoice(read_event(wrong))
    assert "\n" not in str(error.value)


def test_a_report_without_its_reasons_is_refused() -> None:
    with pytest.raises(EventError):
        report_of({"id": "evt_1", "created": "2026-11-21T12:00:00Z", "data": {}}, "v1.billing.meter.no_meter_found")
