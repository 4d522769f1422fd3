"""Places in a checkpoint at which a test can end or freeze this process, as kill -9 or SIGSTOP would.

``METERLINE_FAILPOINT=<place>:<n>[:<signal>]`` sends this process KILL or STOP when it reaches the place for the
n-th time. Unset, which is always outside tests, a place costs one comparison.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Final

PLACES: Final = (
    "before_begin",
    "after_state",
    "after_counters",
    "after_ids",
    "after_accepted",
    "after_watermark",
    "before_commit",
    "after_commit",
    "before_ack",
    "after_ack",
    "before_group_commit",
)


def _armed() -> tuple[str, int, signal.Signals] | None:
    text = os.environ.get("METERLINE_FAILPOINT", "")
    if not text:
        return None
    place, number, *rest = text.split(":")
    if place not in PLACES:
        raise SystemExit(f"METERLINE_FAILPOINT: {place} is none of {', '.join(PLACES)}")
    return place, int(number), signal.Signals["SIG" + (rest[0] if rest else "KILL")]


_ARMED: Final = _armed()
_reached = 0


def reach(place: str, flush: Callable[[], object] | None = None) -> None:
    """Say that ``place`` is reached. ``flush`` runs first where it is armed, so that what was produced is sent."""
    global _reached
    if _ARMED is None or _ARMED[0] != place:
        return
    _reached += 1
    if _reached == _ARMED[1]:
        if flush is not None:
            flush()
        # to this very thread: a signal to the process may be another thread's to take, and this one runs on meanwhile
        signal.pthread_kill(threading.get_ident(), _ARMED[2])
