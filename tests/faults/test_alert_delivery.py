"""From the event to the webhook, with kill -9 of the worker and of the notifier in between: every alert, each once."""

from __future__ import annotations

import json
import random
from collections import Counter as Tally
from collections.abc import Sequence
from pathlib import Path

import pytest
from standardwebhooks import Webhook as Verifier

from meterline_schemas.catalog import Webhook
from tests.notifier.receiver import Call, receiving
from tests.support.alerts import crossings_of, expected_crossings, limits
from tests.support.streams import Streams, wait_until
from tests.support.workload import Workload

pytestmark = pytest.mark.faults

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_every_alert_reaches_its_receiver_whatever_is_killed(
    kafka: str, prefix: str, tmp_path: Path, rounds: int
) -> None:
    rng = random.Random(17)
    settings = {
        "METERLINE_CHECKPOINT_SECONDS": "0.1",
        "METERLINE_NOTIFY_ALLOW_PRIVATE": "true",
        "METERLINE_NOTIFY_RETRY_DELAYS": "[0.2]",
    }
    with receiving() as receiver, Streams(kafka, prefix, tmp_path, partitions=2, **settings) as streams:
        hook = Webhook.model_validate({"id": "ops", "url": receiver.url, "secret": SECRET})
        streams.configure(*limits(), hook)
        records = list(Workload(seed=17, events=2_000 * rounds).records(streams.home, streams.partitions))
        piece = len(records) // rounds + 1
        for number in range(rounds):
            for name, module in (("a", "meterline_streams"), ("notifier", "meterline_sinks.notifier")):
                if name not in streams.names() or not streams.alive(name):
                    streams.start(name, module)
            streams.send(records[number * piece : (number + 1) * piece])
            before = len(receiver.calls)
            wait_until(lambda before=before: len(receiver.calls) > before, 60, "a delivery")  # type: ignore[misc]
            streams.kill(rng.choice(["a", "notifier"]))
        for name, module in (("a", "meterline_streams"), ("notifier", "meterline_sinks.notifier")):
            if not streams.alive(name):
                streams.start(name, module)
        streams.drain("a")
        expected = expected_crossings(streams)

        def arrived() -> bool:
            if not streams.alive("notifier"):
                streams.start("notifier", "meterline_sinks.notifier")
            kinds = Tally(json.loads(call.body)["type"] for call in _distinct(receiver.calls))
            return min(kinds["billing.threshold_exceeded"], kinds.total() // 2) >= len(expected)

        wait_until(arrived, 90, f"{len(expected)} alerts at the receiver")
        distinct = _distinct(receiver.calls)
        assert crossings_of(json.loads(call.body) for call in distinct) == Tally(expected)
        for call in receiver.calls:
            Verifier(SECRET).verify(call.body, call.headers)


def _distinct(calls: Sequence[Call]) -> list[Call]:
    return list({call.webhook_id: call for call in calls}.values())
