"""The sender is killed at every step, run twice at once, and answered badly: Stripe ends with each line once."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from typing import Any

import pytest

from meterline_api.billing.stripe.items.run import Told
from tests.api.billing.stripe.items.register import Register, never_metered

STEPS = ("before_intent", "after_intent", "after_call", "before_outcome")
ITEMS = "/v1/invoiceitems"


def send(register: Register, **more: Any) -> Told:
    return asyncio.run(register.site(**more).items.run(register.customer, never_metered))


def test_a_sender_killed_at_every_step_sends_each_line_once(register: Register) -> None:
    for number, step in enumerate(STEPS):
        register.close("19.00", "1.25", "0.00", f"{number}.75")
        register.finish(register.start(crash=f"{step}:{2 if step != 'after_call' else 3}"), killed=True)
    told = register.run()
    assert (told["open"], told["problems"]) == (0, [])
    register.check()
    again = register.run()
    assert again["delivered"] == 0, "nothing is due any more"


def test_two_senders_at_once_under_faults_and_kills(register: Register) -> None:
    chances = {"before": 0.1, "after": 0.1, "drop_before": 0.05, "drop": 0.05, "429": 0.1, "lock": 0.05}
    register.stripe.control("faults/random", seed=5, path=ITEMS, method="POST", chances=chances)
    for number in range(2):
        register.close("9.99", f"{number}.50")
        both = [register.start(), register.start(crash="after_call:3" if number else "")]
        register.finish(both[0], killed=None)
        register.finish(both[1], killed=None if number else False)  # the first may have left it too little to die at
    register.stripe.clear_faults()
    register.run()
    register.check()


def test_a_void_becomes_negative_items_and_an_adjustment_an_item(register: Register) -> None:
    first, *_ = register.close("19.00", "-1.25")
    send(register)
    note = register.void(first)
    assert send(register).delivered == 2
    register.check()
    assert register.sent()[note, "1", -1900] == 1
    assert register.sent()[note, "2", 125] == 1
    described = {item["description"] for item in register.items()}
    assert f"Basic · credit for {first}" in described
    assert "API calls · 101 call" in described


def test_what_is_void_before_it_was_sent_is_never_sent(register: Register) -> None:
    numbers = register.close("19.00", "1.25")
    register.void(numbers[0])
    told = send(register)
    assert (told.delivered, told.open) == (4, 0)
    register.check(numbers[1:])
    assert send(register).delivered == 0


def test_a_credit_note_waits_until_what_it_takes_back_is_there(register: Register) -> None:
    numbers = register.close("19.00")
    fault = {"kind": "timeout_after", "path": ITEMS, "method": "POST", "seconds": 5}
    register.stripe.control("faults", **fault, times=None)
    told = send(register, timeout=0.2, attempts=1)
    assert (told.delivered, told.open) == (0, 3)
    register.void(numbers[0])
    told = send(register, timeout=0.2, attempts=1)
    assert all("CN-" not in problem for problem in told.problems)
    register.stripe.clear_faults()
    assert send(register).delivered == 4
    register.check()


def test_an_intent_that_is_older_than_stripes_memory_is_looked_up_first(register: Register) -> None:
    """Stripe forgets keys after a day: whoever goes on finds what was applied, and sends what was not."""
    register.close("19.00", "1.25")
    register.stripe.control("faults", kind="timeout_after", path=ITEMS, method="POST", seconds=5, times=2)
    register.stripe.control("faults", kind="timeout_before", path=ITEMS, method="POST", seconds=5, times=1)
    told = send(register, timeout=0.2, attempts=1)
    assert told.open == 6 - told.delivered
    assert sum(register.sent().values()) == 2
    register.stripe.control("clock", advance=25 * 3600)
    try:
        told = send(register, later=timedelta(hours=25), stale_after=timedelta(hours=1))
        assert (told.delivered, told.open) == (6, 0)
        register.check()
    finally:
        register.stripe.control("clock", advance=-25 * 3600)


@pytest.mark.parametrize("kind", ["before", "after"])
def test_a_500_that_stripe_keeps_under_its_key_is_looked_up_and_goes_out_under_another(
    register: Register, kind: str
) -> None:
    register.close("19.00", "1.25")
    register.stripe.control("faults", kind=kind, path=ITEMS, method="POST", times=2, saved=True)
    told = send(register)
    assert (told.delivered, told.open, told.problems) == (6, 0, [])
    register.check()
    attempts = {item.attempt for items in register.records() for item in items.items}
    assert attempts == ({1, 2} if kind == "before" else {1})


def test_nothing_is_sent_on_a_ledger_that_was_read_too_long_ago(register: Register) -> None:
    register.close("19.00")
    told = send(register, stale_after=timedelta(microseconds=1), attempts=1)
    assert (told.delivered, told.open) == (0, 3)
    assert register.items() == []
    send(register)
    register.check()


@pytest.mark.long
def test_a_quarter_of_documents_with_kills_faults_voids_and_two_replicas(register: Register) -> None:
    chance = random.Random(17)
    chances = {"before": 0.05, "after": 0.05, "drop_before": 0.03, "drop": 0.03, "429": 0.05, "lock": 0.03}
    register.stripe.control("faults/random", seed=17, path=ITEMS, method="POST", chances=chances)
    sent: list[str] = []
    for _ in range(20):
        sent += register.close("19.00", f"{chance.randint(0, 999)}.{chance.randint(10, 99)}", "-0.01")
        if chance.random() < 0.6:
            register.void(sent.pop(chance.randrange(len(sent))))
        both = [register.start(crash=f"{chance.choice(STEPS)}:{chance.randint(1, 4)}"), register.start()]
        register.finish(both[0], killed=None)
        register.finish(both[1])
    register.stripe.clear_faults()
    register.run()
    found = register.sent()
    assert set(found.values()) == {1}
    register.check({number for number, _line, _amount in found})
    assert set(sent) <= {number for number, _line, _amount in found}
    voided = {each.of for each in register.documents.values() if each.of}
    assert {n for n, _, _ in found} - set(sent) <= voided | {n for n, each in register.documents.items() if each.of}
