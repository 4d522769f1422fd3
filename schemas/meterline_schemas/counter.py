"""Running counters of quotas and thresholds, as the stream writes them to ``usage.counters`` (compacted).

A partition writes what it follows (``Tracking``) and, for each tenant or subject and period, what was used
(``Counter``). Who begins to follow something in the midst of a period cannot know what was used before: that is told to it once, from
the events in ClickHouse, on ``usage.bases``, as one ``Base`` for each tenant or subject and then ``BaseEnd``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from meterline_schemas.catalog.metric import Aggregation
from meterline_schemas.quantity import exact_nano

COUNTER_PREFIX: Final = b"counter/"
TRACKING_PREFIX: Final = b"tracking/"
BASE_PREFIX: Final = b"base/"
BASE_END_PREFIX: Final = b"base-end/"

_encode: Final = msgspec.json.Encoder().encode


class Track(NamedTuple):
    """What is followed: ``tenant_id`` is empty for all tenants that have no track of their own for the metric.

    ``calendar`` is a ``Calendar`` as text.
    """

    tenant_id: str
    metric: str
    subject: str
    calendar: str


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
    version: int
    fired: tuple[Fired, ...] = ()

    @property
    def key(self) -> bytes:
        return COUNTER_PREFIX + _encode([self.tenant_id, self.metric, self.subject, self.calendar, self.start])


class Tracking(Struct, gc=False, kw_only=True, frozen=True):
    """A partition follows ``track`` from the offset ``since`` on. Until ``complete`` it lacks what was used before.

    ``started_at`` is the partition's clock then: what is lacking belongs to the period that this lies in, and has
    offsets below ``since``.
    """

    tenant_id: str
    metric: str
    subject: str
    calendar: str
    kafka_partition: int
    since: int
    started_at: datetime
    complete: bool

    @property
    def track(self) -> Track:
        return Track(self.tenant_id, self.metric, self.subject, self.calendar)

    @property
    def key(self) -> bytes:
        return TRACKING_PREFIX + _encode(self.track)


class Base(Parts, gc=False, kw_only=True, frozen=True):
    """What ``tenant_id`` (or its ``subject``) used in the period of ``start`` at offsets below ``since``."""

    track: Track
    since: int
    tenant_id: str
    start: datetime

    @property
    def key(self) -> bytes:
        return BASE_PREFIX + _encode([*self.track, self.tenant_id])


class BaseEnd(Struct, gc=False, kw_only=True, frozen=True):
    """All bases of ``track`` with this ``since`` lie before this record."""

    track: Track
    since: int

    @property
    def key(self) -> bytes:
        return BASE_END_PREFIX + _encode(self.track)


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
