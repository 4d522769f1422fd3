"""A worker whose consumer skips the first records of each partition once, as Faust can at a rebalance.

With METERLINE_CONTROL_GUARD=off the continuity check is off as well: what the fault tests must catch.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from typing import Any

from meterline_streams import __main__, slot, worker

SKIPPED = 40
_seen: Counter[int] = Counter()
_receive = worker.Worker.receive


async def _skipping(self: worker.Worker, event: Any) -> None:
    _seen[event.message.partition] += 1
    if _seen[event.message.partition] > SKIPPED:
        await _receive(self, event)


def _anything_is_due(self: slot.Slot, offset: int) -> slot.Arrival:
    return slot.Arrival.DUE if offset >= self.due else slot.Arrival.JUDGED


worker.Worker.receive = _skipping  # type: ignore[method-assign]
if os.environ.get("METERLINE_CONTROL_GUARD") == "off":
    slot.Slot.arrival = _anything_is_due  # type: ignore[method-assign]

if __name__ == "__main__":
    sys.exit(__main__.main())
