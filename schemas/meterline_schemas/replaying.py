"""Which rejected lines can be judged again, and what can be known of one before it is. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Set
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, NamedTuple

from meterline_schemas.catalog import Metric
from meterline_schemas.event import UsageEvent
from meterline_schemas.reading import InvalidLine, decode_line, read_quantity, utc_milliseconds
from meterline_schemas.reject import Reason

DEFAULT_REASONS: Final = (Reason.UNKNOWN_METRIC, Reason.UNKNOWN_TENANT, Reason.TOO_OLD, Reason.IN_FUTURE)

_WRONG_ITSELF: Final = "the line itself is wrong and will be so again: send a correct event (`meterline emit`)"
REFUSED: Final[Mapping[Reason, str]] = {
    Reason.DUPLICATE: "the event is counted already: the first copy of it was",
    Reason.INVALID_JSON: _WRONG_ITSELF,
    Reason.INVALID_EVENT: _WRONG_ITSELF,
}

# what a DateTime64 of ClickHouse holds: no event outside of it can be in a table
_FIRST: Final = datetime(1900, 1, 1, tzinfo=UTC)
_END: Final = datetime(2262, 1, 1, tzinfo=UTC)


class Skipped(StrEnum):
    """Why a line is not sent, in words for people."""

    COUNTED = "counted already"
    STILL_UNKNOWN = "the metric is still not defined for the tenant"
    TENANT_STILL_UNKNOWN = "the tenant is still not defined"
    STILL_OUT_OF_RANGE = "the quantity is still out of range"
    LOST = "longer than the 64 KB that are kept, and no longer on usage.events"
    TOO_LONG = "longer than the 64 KB that are kept: `meterline replay` sends it, as long as it is on usage.events"
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


def weigh(line: bytes, metrics: Mapping[str, Metric], tenants: Set[str] | None = None) -> EventKey | Skipped:
    """The event of a line or, where it would be rejected again whatever the time is, why.

    ``tenants`` are those whose events count; None: everybody's.
    """
    try:
        line.decode()
        event = decode_line(line)
        key = EventKey(event.tenant_id, event.metric, utc_milliseconds(event.timestamp), event.id)
    except (InvalidLine, UnicodeDecodeError):
        return Skipped.NO_EVENT
    if tenants is not None and event.tenant_id not in tenants:
        return Skipped.TENANT_STILL_UNKNOWN
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
