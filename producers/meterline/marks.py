"""The two marks that an event gets once, where it is made: its id (UUIDv7, RFC 9562) and its timestamp.

48 bits of an id are milliseconds, 48 are drawn at random for each process, and 26 count from a random start: unique
between threads by the counter, between processes and forks by the random bits, and in order of time.
"""

from __future__ import annotations

import os
import time
from functools import lru_cache
from itertools import count
from typing import Final

_COUNTER_BITS = 26


def _draw() -> None:
    """A new random part: at import, and in the child after every fork."""
    global _node, _next
    node = os.urandom(6)
    _node = f"-{node.hex()}"
    _next = count(int.from_bytes(os.urandom(4), "big") >> (32 - _COUNTER_BITS)).__next__


_node = ""
_next = count().__next__
_draw()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_draw)

# looked up, since formatting is a third of what an id takes
_MIDDLES: Final = [f"{n:03x}-" for n in range(1 << 12)]
_ENDS: Final = [f"{0x8000 | n:04x}" for n in range(1 << 14)]

_latest = (-1, "", "")  # milliseconds, how ids of that millisecond begin, its RFC 3339 text


def marks() -> tuple[str, str]:
    """A new id, and now as RFC 3339 in UTC with milliseconds."""
    global _latest
    milliseconds = time.time_ns() // 1_000_000
    latest = _latest
    if latest[0] != milliseconds:
        head = f"{milliseconds:012x}"
        # one assignment of one tuple: another thread sees the old or the new one, never half of each
        _latest = latest = (milliseconds, f"{head[:8]}-{head[8:]}-7", text_of(milliseconds))
    n = _next()
    return f"{latest[1]}{_MIDDLES[n >> 14 & 0xFFF]}{_ENDS[n & 0x3FFF]}{_node}", latest[2]


def text_of(milliseconds: int) -> str:
    """Milliseconds since the epoch as RFC 3339 in UTC."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{_text_of_second(seconds)}.{rest:03d}Z"


@lru_cache(maxsize=2)
def _text_of_second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
