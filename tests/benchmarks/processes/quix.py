"""Quix Streams doing hourly count and sum per tenant and metric: an event a record, tumbling 1 h, RocksDB state.

``python quix.py BOOTSTRAP TOPIC EVENTS OUT`` writes to OUT as JSON when it counted the first and the last event, the
CPU seconds it used between, and its totals; then it ends. Runs in an environment of its own, so it imports nothing
of ours. Records are keyed by tenant and metric. Quantities are folded as integers of hundredths, exactly.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import resource
import sys
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from quixstreams import Application  # type: ignore[import-not-found]

bootstrap, topic_name = sys.argv[1:3]
events = int(sys.argv[3])
out = Path(sys.argv[4])

counted = 0
began = used = 0.0
latest: dict[tuple[str, int], dict[str, int]] = {}


def cpu() -> float:
    found = resource.getrusage(resource.RUSAGE_SELF)
    return found.ru_utime + found.ru_stime


def hundredths(event: dict[str, Any]) -> int:
    global began, used
    if not counted:
        began, used = time.time(), cpu()
    return int(Decimal(event["quantity"]) * 100)


def start(event: dict[str, Any]) -> dict[str, int]:
    return {"count": 1, "sum": hundredths(event)}


def add(total: dict[str, int], event: dict[str, Any]) -> dict[str, int]:
    return {"count": total["count"] + 1, "sum": total["sum"] + hundredths(event)}


def keep(window: dict[str, Any], key: str, _timestamp: int, _headers: object) -> None:
    global counted
    latest[key, window["start"]] = window["value"]
    counted += 1
    if counted == events:
        finish(time.time(), cpu() - used)


def finish(ended: float, spent: float) -> None:
    found = {
        f"{key}|{datetime.fromtimestamp(begin / 1000, UTC):%Y-%m-%dT%H}": [
            value["count"],
            str(Decimal(value["sum"]) / 100),
        ]
        for (key, begin), value in latest.items()
    }
    version = importlib.metadata.version("quixstreams")
    out.write_text(json.dumps({"began": began, "ended": ended, "cpu": spent, "totals": found, "version": version}))
    os._exit(0)


if __name__ == "__main__":
    app = Application(
        broker_address=bootstrap,
        consumer_group=f"{topic_name}-quix",
        auto_offset_reset="earliest",
        processing_guarantee="at-least-once",
        state_dir=out.with_suffix(".state"),
        loglevel="WARNING",
    )
    frame = app.dataframe(app.topic(topic_name, key_deserializer="str", value_deserializer="json"))
    frame = frame.tumbling_window(timedelta(hours=1), grace_ms=timedelta(hours=24))
    frame = frame.reduce(reducer=add, initializer=start).current()
    frame.update(keep, metadata=True)
    app.run()
