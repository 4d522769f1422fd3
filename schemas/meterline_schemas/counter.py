"""Running counters of quotas and thresholds, as the stream writes them to ``usage.counters`` (compacted).

One ``Counter`` for each tenant or subject, metric, calendar and period: on the partition that the tenant is at home on.
One that begins in the midst of its period is not ``complete``: it lacks the events at offsets below its ``since``. What
they come to is computed once, from the raw events in ClickHouse (same partition, ``kafka_offset < since``, timestamp in
``[start, end)``), and told to the stream on the same partition of ``usage.bases``, as a ``Base`` with the key and the
``since`` of the counter. The stream adds it, once, and writes the counter as complete. A later ``since`` for the same
key asks for another base. Offsets are fixed, so the value is the same whoever computes it: a repeat is harmless.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from meterline_schemas.catalog.metric import Aggregation
from meterline_schemas.event import MOST_AHEAD
from meterline_schemas.quantity import exact_nano

SURELY_KNOWN: Final = MOST_AHEAD + timedelta(minutes=10)
"""Of a period that begins so long after a change of the catalog every event is judged by workers that know of it."""

_encode: Final = msgspec.json.Encoder().encode


class Parts(Struct, gc=False, kw_only=True, frozen=True):
    """The parts that the number of a metric is made of. Decimals are plain text; without events all are 0."""

    count: int = 0
    sum: str = "0"
    min: str = "0"
    max: str = "0"
    last: str = "0"
    last_timestamp: datetime | None = None
    last_id: str = ""


class Fired(Struct, gc=False, frozen=True):
    """A step that was alerted of. ``step`` (percent) and ``limit`` are plain decimals."""

    threshold_id: str
    step: str
    limit: str


class CounterKey(NamedTuple):
    """What tells counters apart. ``subject`` is empty for the tenant itself; ``calendar`` is a ``Calendar`` as text."""

    tenant_id: str
    metric: str
    subject: str
    calendar: str
    start: datetime

    def record_key(self) -> bytes:
        return _encode(self)


class Counter(Parts, gc=False, kw_only=True, frozen=True):
    """What a tenant or subject used of a metric in the period ``[start, end)``: late events included.

    ``version`` is the offset in ``usage.events`` up to which it counts.
    """

    tenant_id: str
    metric: str
    subject: str
    calendar: str
    start: datetime
    end: datetime
    kafka_partition: int
    since: int
    version: int
    complete: bool
    fired: tuple[Fired, ...] = ()

    @property
    def key(self) -> CounterKey:
        return CounterKey(self.tenant_id, self.metric, self.subject, self.calendar, self.start)


class Base(Parts, gc=False, kw_only=True, frozen=True):
    """What the events of a counter at offsets below ``since`` come to; all 0 where there are none."""

    tenant_id: str
    metric: str
    subject: str
    calendar: str
    start: datetime
    since: int

    @property
    def key(self) -> CounterKey:
        return CounterKey(self.tenant_id, self.metric, self.subject, self.calendar, self.start)


def value_of(aggregation: Aggregation, parts: Parts) -> int:
    """The number that a quota or threshold is held against, in nano-units; see ``counts_in_stream``.

    An average is rounded half to even at the ninth decimal.
    """
    match aggregation:
        case Aggregation.COUNT:
            return parts.count * 10**9
        case Aggregation.SUM:
            return exact_nano(parts.sum)
        case Aggregation.MIN:
            return exact_nano(parts.min)
        case Aggregation.MAX:
            return exact_nano(parts.max)
        case Aggregation.LAST | Aggregation.TIME_WEIGHTED:
            return exact_nano(parts.last)
        case Aggregation.AVG:
            return average(exact_nano(parts.sum), parts.count)
        case _:
            raise ValueError(f"{aggregation} is not made of running numbers")


def average(total: int, count: int) -> int:
    """``total / count`` in whole nano-units, rounded half to even; 0 of nothing."""
    if count == 0:
        return 0
    quotient, rest = divmod(total, count)
    double = 2 * rest
    return quotient + (double > count or (double == count and quotient % 2 == 1))
