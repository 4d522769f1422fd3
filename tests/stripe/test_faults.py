"""What the Stripe stand-in does wrong on purpose: before applying, after applying, and through kill -9."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import stripe

from meterline_deploy.stripe_stand_in.faults import KINDS, Chance, Faults
from tests.stripe.process import DAY, NOON, StandIn, told

TODAY = NOON - NOON % DAY
NOT_APPLIED = {
    "before": stripe.APIError,
    "429": stripe.RateLimitError,
    "lock": stripe.RateLimitError,
    "drop_before": stripe.APIConnectionError,
    "timeout_before": stripe.APIConnectionError,
}
APPLIED = {
    "after": stripe.APIError,
    "drop": stripe.APIConnectionError,
    "timeout_after": stripe.APIConnectionError,
    "duplicate": stripe.InvalidRequestError,
}


@pytest.fixture
def impatient(stand_in: StandIn) -> stripe.StripeClient:
    return stand_in.client(timeout=0.5)


def push(
    api: stripe.StripeClient, meter: Any, customer: str, value: int, key: str, identifier: str | None = None
) -> Any:
    payload = {"stripe_customer_id": customer, "value": str(value)}
    return api.v1.billing.meter_events.create(
        {"event_name": meter.event_name, "identifier": identifier or key, "timestamp": TODAY, "payload": payload},
        {"idempotency_key": key},
    )


def test_every_kind_of_fault_is_tried_here() -> None:
    assert {*NOT_APPLIED, *APPLIED, "late"} == set(KINDS)


@pytest.mark.parametrize("kind", [*NOT_APPLIED, *APPLIED])
def test_a_fault_strikes_before_or_after_applying_and_a_retry_counts_once(
    stand_in: StandIn, impatient: stripe.StripeClient, meter: Callable[..., Any], customer: str, kind: str
) -> None:
    calls, key = meter(None), uuid.uuid4().hex
    stand_in.fault(kind)
    with pytest.raises((NOT_APPLIED | APPLIED)[kind]):
        push(impatient, calls, customer, 4, key)
    place = customer, calls.event_name, TODAY
    assert stand_in.values().get(place) == (4 if kind in APPLIED else None)
    push(impatient, calls, customer, 4, key)
    assert stand_in.values()[place] == 4
    with pytest.raises(stripe.InvalidRequestError, match="already exists"):
        push(impatient, calls, customer, 4, identifier=key, key=uuid.uuid4().hex)


def test_a_500_that_was_saved_is_replayed(
    stand_in: StandIn, api: stripe.StripeClient, meter: Callable[..., Any], customer: str
) -> None:
    calls, key = meter(None), uuid.uuid4().hex
    stand_in.fault("after", saved=True)
    for _ in range(2):
        with pytest.raises(stripe.APIError) as raised:
            push(api, calls, customer, 4, key)
        assert told(raised.value) == (None, "false")
    assert stand_in.values()[customer, calls.event_name, TODAY] == 4


def test_the_sdk_retries_what_stripe_lets_it_retry(stand_in: StandIn, meter: Callable[..., Any], customer: str) -> None:
    calls, patient = meter(None), stand_in.client(retries=2)
    for kind in ("before", "after", "drop", "lock"):
        stand_in.fault(kind)
        push(patient, calls, customer, 1, uuid.uuid4().hex)
    assert stand_in.values()[customer, calls.event_name, TODAY] == 4
    stand_in.fault("429")
    with pytest.raises(stripe.RateLimitError):
        push(patient, calls, customer, 1, uuid.uuid4().hex)


def test_a_late_request_overwrites_what_was_sent_after_it(
    stand_in: StandIn, impatient: stripe.StripeClient, meter: Callable[..., Any], customer: str
) -> None:
    calls = meter("day")
    stand_in.fault("late", seconds=1)
    with pytest.raises(stripe.APIConnectionError):
        push(impatient, calls, customer, 1, uuid.uuid4().hex)
    push(impatient, calls, customer, 2, uuid.uuid4().hex)
    place, deadline = (customer, calls.event_name, TODAY), time.monotonic() + 20
    while stand_in.values()[place] != 1:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_faults_strike_every_nth_request_and_only_so_often(
    stand_in: StandIn, api: stripe.StripeClient, meter: Callable[..., Any], customer: str
) -> None:
    calls, struck = meter(None), []
    stand_in.fault("before", every=3, times=2)
    for number in range(12):
        try:
            push(api, calls, customer, 1, uuid.uuid4().hex)
        except stripe.APIError:
            struck.append(number)
    assert struck == [2, 5]
    assert stand_in.control("faults")["struck"]["before"] == 2


def test_chances_are_the_same_for_the_same_seed() -> None:
    def draw(seed: int) -> list[str | None]:
        faults = Faults()
        faults.by_chance(Chance(seed, {"before": 0.2, "drop": 0.1}))
        struck = [faults.next("POST", "/v1/billing/meter_events") for _ in range(1_000)]
        return [each.kind if each else None for each in struck]

    assert draw(7) == draw(7) != draw(8)
    counts = {kind: draw(7).count(kind) for kind in ("before", "drop")}
    assert 150 < counts["before"] < 250
    assert 60 < counts["drop"] < 140
    with pytest.raises(ValueError, match="at most 1"):
        Faults().by_chance(Chance(1, {"before": 0.6, "drop": 0.6}))


@pytest.fixture
def lasting(tmp_path: Path) -> Iterator[StandIn]:
    stand_in = StandIn(tmp_path, data=tmp_path / "stripe.sqlite")
    stand_in.start()
    yield stand_in
    assert stand_in.stop() == 0, stand_in.log()


def test_what_was_answered_survives_kill_9(lasting: StandIn) -> None:
    stand_in = lasting
    stand_in.freeze()
    api = stand_in.client()
    customers = [api.v1.customers.create({"name": f"c{n}"}).id for n in range(4)]
    calls = api.v1.billing.meters.create(
        {"display_name": "Calls", "event_name": "calls", "default_aggregation": {"formula": "sum"}}
    )
    answered: dict[str, str] = {}

    def pushing(customer: str) -> None:
        sender = stand_in.client()
        for _ in range(500):
            key = uuid.uuid4().hex
            try:
                push(sender, calls, customer, 1, key)
            except stripe.APIConnectionError:
                return
            answered[key] = customer

    with ThreadPoolExecutor(4) as pool:
        pushed = [pool.submit(pushing, customer) for customer in customers]
        while len(answered) < 40:
            assert not any(each.done() and each.exception() for each in pushed)
            time.sleep(0.005)
        stand_in.kill()
    stand_in.start()
    logged = {each["identifier"]: each for each in stand_in.control("state")["events"]}
    assert answered.keys() <= logged.keys()
    assert len(logged) <= len(answered) + 4
    assert stand_in.control("state")["now"] == NOON
    key, customer = next(iter(answered.items()))
    replayed = push(stand_in.client(), calls, customer, 1, key)
    assert replayed.last_response.headers["idempotent-replayed"] == "true"
    counted = {who: value for (who, _, _), value in stand_in.values().items()}
    assert counted == {who: sum(each["customer"] == who for each in logged.values()) for who in customers}
