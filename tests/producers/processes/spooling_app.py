"""An app with a spool that writes down what it is about to track, and what ``track`` returned.

``python -m tests.producers.processes.spooling_app WITNESS FIRST LAST SPOOL_BYTES``; Kafka and the spool come from the
environment. It ends by itself once all are acknowledged.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from meterline import Spool, UsageProducer


def main(witness: Path, first: int, last: int, spool_bytes: int) -> int:
    spool = Spool(os.environ["METERLINE_SPOOL"], max_bytes=spool_bytes)
    producer = UsageProducer(source="app", spool=spool)
    said = os.open(witness, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number in range(first, last):
        event = {
            "tenant_id": f"tenant-{number % 97}",
            "metric": ("orders", "api_calls")[number % 2],
            "quantity": f"{number % 1000}.{number % 9 + 1:09d}",
            "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }
        os.write(said, b"%d " % number + msgspec.json.encode(event))
        id = producer.track(
            event["tenant_id"],
            event["metric"],
            event["quantity"],
            timestamp=datetime.fromisoformat(event["timestamp"]),
        )
        os.write(said, b" " + id.encode() + b"\n")
    while producer.flush(5):
        pass
    stats = producer.stats()
    return 0 if stats.failed == stats.dropped == 0 and producer.close() == 0 else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *map(int, sys.argv[2:])))
