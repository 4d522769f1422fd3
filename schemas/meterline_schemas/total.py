"""A running total: one tenant, metric, hour and partition, replaced by every later version of itself."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct


class Total(Struct, gc=False):
    """A record of ``usage.totals`` (compacted) and a row of ``usage_totals``, names alike.

    ``version`` is the watermark of the checkpoint that wrote it: the next source offset, strictly rising within
    a partition. Decimals are plain strings. ``last`` is the quantity of the event with the greatest
    ``(timestamp, id)``. Late events are not in here.
    """

    tenant_id: str
    metric: str
    hour: datetime
    kafka_partition: int
    version: int
    count: int
    sum: str
    min: str
    max: str
    last: str
    last_timestamp: datetime
    last_id: str
