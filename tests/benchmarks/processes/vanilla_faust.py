"""Vanilla Faust doing hourly count and sum per tenant and metric: an event a record, ``app.Table(…).tumbling(1h)``.

``python -m tests.benchmarks.processes.vanilla_faust BOOTSTRAP TOPIC PARTITIONS EVENTS OUT`` writes to OUT as JSON when
it counted the first and the last event, the CPU seconds it used between, and its totals; then it ends.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import AsyncIterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import faust

bootstrap, topic_name = sys.argv[1:3]
partitions, events = int(sys.argv[3]), int(sys.argv[4])
out = Path(sys.argv[5])

app = faust.App(
    f"{topic_name}-faust",
    broker=f"kafka://{bootstrap}",
    store="memory://",
    topic_partitions=partitions,
    consumer_auto_offset_reset="earliest",
    web_enabled=False,
    worker_redirect_stdouts=False,
)
topic = app.topic(topic_name, key_type=str, value_serializer="json", partitions=partitions)
totals = app.Table("totals", default=lambda: [0, "0"], partitions=partitions).tumbling(
    timedelta(hours=1), expires=timedelta(hours=24)
)


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


@app.agent(topic)  # type: ignore[untyped-decorator]
async def count(stream: AsyncIterable[Any]) -> None:
    counted = 0
    began = used = 0.0
    async for event in stream:
        if not counted:
            began, used = time.time(), cpu()
        key = f"{event['tenant_id']}|{event['metric']}"
        number, total = totals[key].current()
        totals[key] = [number + 1, str(Decimal(total) + Decimal(event["quantity"]))]
        counted += 1
        if counted == events:
            finish(began, time.time(), cpu() - used)


def finish(began: float, ended: float, used: float) -> None:
    found = {
        f"{key}|{datetime.fromtimestamp(window[0], UTC):%Y-%m-%dT%H}": value
        for (key, window), value in totals.table.data.items()
    }
    out.write_text(json.dumps({"began": began, "ended": ended, "cpu": used, "totals": found}))
    os._exit(0)


if __name__ == "__main__":
    faust.Worker(app, loglevel="WARNING", quiet=True).execute_from_commandline()
