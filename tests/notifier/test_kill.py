"""A notifier that is killed loses no notification, wherever it was; one that loses the broker waits."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from tests.notifier.harness import Notifiers, crossed, webhook
from tests.notifier.receiver import Answer, Call, Receiver
from tests.services.kafka import Broker
from tests.support.streams import wait_until

SOON = 60


@pytest.fixture(scope="module")
def kafka(broker: Broker) -> str:
    """The one that goes away; another module may have left it so."""
    broker.restore()
    return broker.bootstrap


def test_kill_9_in_the_middle_of_many_deliveries_loses_none(
    notifiers: Notifiers, receiver: Receiver, other: Receiver
) -> None:
    chance = random.Random(7)

    def sometimes(_call: Call) -> Answer:
        return (200, {}, b"") if chance.random() < 0.7 else (503, {}, b"")

    receiver.answer = sometimes
    notifiers.define(webhook("crm", receiver.url), webhook("erp", other.url))
    told = [crossed(number, f"tenant-{number % 40}") for number in range(400)]
    ids = {each.id for each in told}
    settings = {"METERLINE_NOTIFY_RETRY_DELAYS": "[0.05, 0.2]"}
    for part in range(4):
        notifiers.start(**settings)
        before = len(receiver.ids()) + len(other.ids())
        notifiers.notify(*told[part * 100 : part * 100 + 100])
        enough = before + chance.randrange(10, 120)
        wait_until(lambda enough=enough: len(receiver.ids()) + len(other.ids()) >= enough, SOON, "some")  # type: ignore[misc]
        notifiers.kill()
    notifiers.start(**settings)
    wait_until(lambda: Counter(notifiers.states()) == {"delivered": 800}, SOON, "all of them delivered")
    assert receiver.ids() == other.ids() == ids
    assert len(other.calls) >= 400  # once or more: a receiver tells repeats by their webhook-id


@pytest.mark.parametrize(
    "step",
    [
        "after_ledger",
        "before_outcome:3",
        *(pytest.param(step, marks=pytest.mark.long) for step in ("before_ledger", "after_commit")),
    ],
)
def test_no_step_loses_a_notification(notifiers: Notifiers, receiver: Receiver, step: str) -> None:
    notifiers.define(webhook("crm", receiver.url))
    told = [crossed(number, f"tenant-{number}") for number in range(30)]
    notifiers.notify(*told)
    died = notifiers.start(METERLINE_NOTIFY_CRASH=step)
    assert died.wait(40) == -9
    notifiers.start()
    wait_until(lambda: notifiers.states() == ["delivered"] * 30, SOON, "all delivered")
    assert receiver.ids() == {each.id for each in told}
    if step in ("before_ledger",):
        assert len(receiver.calls) == 30, "nothing had been sent yet"


def test_what_waits_for_its_next_attempt_is_tried_by_the_next_process(notifiers: Notifiers, receiver: Receiver) -> None:
    receiver.answer = lambda _call: (503, {}, b"")
    notifiers.define(webhook("crm", receiver.url))
    notifiers.notify(crossed())
    notifiers.start(METERLINE_NOTIFY_RETRY_DELAYS="[3]")
    wait_until(lambda: notifiers.states() == ["waiting"], SOON, "one attempt")
    assert notifiers.terminate() == 0
    receiver.answer = lambda _call: (200, {}, b"")
    notifiers.start()
    wait_until(lambda: notifiers.states() == ["delivered"], SOON, "the next one")
    (delivery,) = notifiers.ledger().values()
    first, second = (attempt.at for attempt in (delivery.attempts[0], delivery.attempts[-1]))
    assert (second - first).total_seconds() > 2.6, "it is not tried before its time"


def test_the_partitions_of_one_that_leaves_are_taken_over(notifiers: Notifiers, receiver: Receiver) -> None:
    receiver.answer = lambda _call: (503, {}, b"")
    notifiers.define(webhook("crm", receiver.url))
    told = [crossed(number, f"tenant-{number}") for number in range(30)]
    settings = {"METERLINE_NOTIFY_RETRY_DELAYS": "[1]"}
    notifiers.start("one", **settings)
    notifiers.start("two", **settings)
    notifiers.notify(*told[:15])
    wait_until(lambda: len(receiver.ids()) == 15, SOON, "tried by either")
    notifiers.kill("one")
    receiver.answer = lambda _call: (200, {}, b"")
    notifiers.notify(*told[15:])
    wait_until(lambda: notifiers.states() == ["delivered"] * 30, SOON, "all by the one that is left")
    assert receiver.ids() == {each.id for each in told}


def test_a_broker_that_goes_away_is_waited_for(notifiers: Notifiers, receiver: Receiver, broker: Broker) -> None:
    notifiers.define(webhook("crm", receiver.url))
    process = notifiers.start()
    notifiers.notify(crossed(1))
    wait_until(lambda: len(receiver.calls) == 1, SOON, "the first")
    broker.kill()
    broker.start()
    notifiers.notify(crossed(2))

    def told() -> bool:
        nonlocal process
        if process.poll() == 1:  # the group may have given its place to an attempt to join that it had given up
            assert "has shut this notifier out" in notifiers.log().read_text()
            process = notifiers.start()
        assert process.poll() in (None, 1)
        return len(receiver.ids()) == 2

    wait_until(told, 3 * SOON, lambda: f"the second; {notifiers.log().read_text()[-3000:]}")
    wait_until(lambda: notifiers.states() == ["delivered"] * 2, SOON, "written down")


def test_it_ends_soon_while_the_broker_is_away(
    notifiers: Notifiers, receiver: Receiver, broker: Broker, tmp_path: Path
) -> None:
    receiver.answer = lambda _call: (503, {}, b"")
    notifiers.define(webhook("crm", receiver.url))
    notifiers.notify(crossed())
    notifiers.start(METERLINE_NOTIFY_RETRY_DELAYS="[0.05]")
    wait_until(lambda: len(receiver.calls) > 3, SOON, "some attempts")
    broker.kill()
    assert notifiers.terminate() == 0
    assert "Traceback" not in notifiers.log().read_text()
