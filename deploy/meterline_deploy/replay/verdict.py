"""What can be known of a rejected line before it is judged again. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, NamedTuple

from meterline_schemas.catalog import Metric
from meterline_schemas.event import UsageEvent
from meterline_schemas.reading import InvalidLine, decode_line, read_quantity, utc_milliseconds

# what a DateTime64 of ClickHouse holds: no event outside of it can be in a table
_FIRST: Final = datetime(1900, 1, 1, tzinfo=UTC)
_END: Final = datetime(2262, 1, 1, tzinfo=UTC)


class Skipped(StrEnum):
    """Why a line is not sent, in words for people."""

    COUNTED = "counted already"
    STILL_UNKNOWN = "the metric is still not defined for the tenant"
    STILL_OUT_OF_RANGE = "the quantity is still out of range"
    LOST = "longer than the 64 KB that are kept, and no longer on usage.events"
    NO_EVENT = "no event that can be read"


class EventKey(NamedTuple):
    """What tells an event from every other: all of its copies count once. ``timestamp`` is cut to milliseconds."""

    tenant_id: str
    metric: str
    timestamp: datetime
    id: str

    @property
    def may_be_counted(self) -> bool:
        return _FIRST <= self.timestamp < _END


def weigh(line: bytes, metrics: Mapping[str, Metric]) -> EventKey | Skipped:
    """The event of a line or, where it would be rejected again whatever the time is, why."""
    try:
        line.decode()
        event = decode_line(line)
        key = EventKey(event.tenant_id, event.metric, utc_milliseconds(event.timestamp), event.id)
    except (InvalidLine, UnicodeDecodeError):
        return Skipped.NO_EVENT
    metric = metrics.get(event.metric)
    if metric is None or metric.tenant_id not in ("", event.tenant_id):
        return Skipped.STILL_UNKNOWN
    return key if _fits(event, metric) else Skipped.STILL_OUT_OF_RANGE


def _fits(event: UsageEvent, metric: Metric) -> bool:
    try:
        nano, _text = read_quantity(bytes(event.quantity))
    except InvalidLine:
        return False
    return nano >= 0 or metric.allow_negative
