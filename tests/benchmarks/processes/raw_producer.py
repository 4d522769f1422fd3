"""An app without the SDK: confluent-kafka, an event a record, the SDK's client settings.

``python -m tests.benchmarks.processes.raw_producer BOOTSTRAP TOPIC EVENTS OUT`` writes to OUT as JSON what it did. Each
event gets an id and a time, is encoded with msgspec, and is keyed by its tenant.
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from confluent_kafka import Producer

from meterline.connection import SAFE
from meterline.limits import Limits
from tests.benchmarks.processes.events import calls, expected


def main(bootstrap: str, topic: str, events: str, out: str) -> None:
    made = calls(int(events), 0)
    producer = Producer({**SAFE, **Limits().queue(), "bootstrap.servers": bootstrap})
    producer.produce(topic, b"{}", "warm-up")
    producer.flush(60)
    encode, produce, poll = msgspec.json.Encoder().encode, producer.produce, producer.poll
    began, used = time.time(), time.process_time()
    for tenant, metric, quantity, _repeats in made:
        value = encode(
            {
                "id": str(uuid.uuid4()),
                "tenant_id": tenant,
                "metric": metric,
                "quantity": quantity,
                "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
            }
        )
        while True:
            try:
                produce(topic, value, tenant)
                break
            except BufferError:
                poll(0.01)
        poll(0)
    left = producer.flush(300)
    ended, spent = time.time(), time.process_time() - used
    found = {"began": began, "ended": ended, "cpu": spent, "left": left, "expected": expected(made)}
    Path(out).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
