"""What is asked of ClickHouse about one id, and how rows are read. Pure. A value never becomes part of a statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from meterline_api.event_life.models import AlertOfEvent
from meterline_api.rejected.places import ORDER, instant_of, milliseconds
from meterline_schemas.topics import EVENTS

MOST_EVENTS: Final = 20  # of an answer, each with totals of its own
MOST_REJECTS: Final = 100
_MOST_ALERTS: Final = 20

Statement = tuple[str, dict[str, Any]]

FRESHNESS: Final = "SELECT kafka_partition, complete_to_offset FROM usage_freshness"
_EVENTS: Final = (
    "SELECT e.tenant_id, e.metric, toUnixTimestamp64Milli(e.timestamp), toString(e.quantity), e.subject, e.source, "
    "e.properties, e.late, e.kafka_partition, e.kafka_offset, e.kafka_line, toUnixTimestamp64Milli(e.received_at) "
    "FROM usage_events_raw AS e WHERE {where} "
    "ORDER BY e.tenant_id, e.metric, e.timestamp, e.id, e.precedence DESC "
    "LIMIT 1 BY e.tenant_id, e.metric, e.timestamp, e.id LIMIT {{limit:UInt32}}"
)
_REJECTS: Final = (
    "SELECT r.tenant_id, r.kafka_partition, r.kafka_offset, r.kafka_line, toUnixTimestamp64Milli(r.received_at), "
    "r.reason, r.detail, r.raw, r.raw_encoding, r.raw_bytes, r.raw_sha256 "
    f"FROM rejected_events AS r WHERE {{where}} ORDER BY {ORDER} "
    "LIMIT 1 BY r.kafka_partition, r.kafka_offset, r.kafka_line LIMIT {{limit:UInt32}}"
)
_ALERTS: Final = f"""
SELECT n.id, n.type, toUnixTimestamp64Milli(n.occurred_at), n.threshold_id, n.subject, toString(n.usage),
    toString(n.`limit`), toString(n.step), toUnixTimestamp64Milli(n.period_start), toUnixTimestamp64Milli(n.period_end)
FROM notifications AS n FINAL
WHERE n.type IN ('threshold.approaching', 'threshold.exceeded')
    AND n.tenant_id = {{tenant_id:String}} AND n.metric = {{metric:String}} AND n.subject IN ('', {{subject:String}})
    AND n.occurred_at >= fromUnixTimestamp64Milli({{received:Int64}}, 'UTC')
    AND (n.period_start IS NULL OR n.period_start <= fromUnixTimestamp64Milli({{timestamp:Int64}}, 'UTC'))
    AND (n.period_end IS NULL OR n.period_end > fromUnixTimestamp64Milli({{timestamp:Int64}}, 'UTC'))
ORDER BY n.occurred_at, n.id
LIMIT {_MOST_ALERTS}
"""


@dataclass(frozen=True)
class Asked:
    """The events with this id. ``tenants`` are whose; None: everybody's. ``start`` and ``end`` are of event times.

    They narrow down the search among events that count, of which there are many.
    """

    id: str
    tenants: tuple[str, ...] | None = None
    metric: str | None = None
    start: datetime | None = None
    end: datetime | None = None

    def _where(self, table: str) -> tuple[list[str], dict[str, Any]]:
        conditions, parameters = [f"{table}.id = {{id:String}}"], dict[str, Any](id=self.id)
        if self.tenants is not None:
            conditions.append(f"{table}.tenant_id IN {{tenants:Array(String)}}")
            parameters["tenants"] = list(self.tenants)
        if self.metric is not None:
            conditions.append(f"{table}.metric = {{metric:String}}")
            parameters["metric"] = self.metric
        return conditions, parameters

    def events(self) -> Statement:
        """One row for each event that counts, and one more than is shown."""
        conditions, parameters = self._where("e")
        for name, sign, instant in (("start", ">=", self.start), ("end", "<", self.end)):
            if instant is not None:
                conditions.append(f"e.timestamp {sign} fromUnixTimestamp64Milli({{{name}:Int64}}, 'UTC')")
                parameters[name] = milliseconds(instant)
        return _EVENTS.format(where=" AND ".join(conditions)), {**parameters, "limit": MOST_EVENTS + 1}

    def rejects(self) -> Statement:
        """One row for each copy that does not count, the oldest first, and one more than is shown."""
        conditions, parameters = self._where("r")
        conditions.append("r.kafka_topic = {topic:String}")
        parameters |= {"topic": EVENTS, "limit": MOST_REJECTS + 1}
        return _REJECTS.format(where=" AND ".join(conditions)), parameters


class Place(NamedTuple):
    """Where a line was judged: a line of ``usage.events``."""

    partition: int
    offset: int
    line: int


class EventRow(NamedTuple):
    """An event that counts. Times are milliseconds since 1970."""

    tenant_id: str
    metric: str
    timestamp: int
    quantity: str
    subject: str
    source: str
    properties: Mapping[str, str]
    late: int
    partition: int
    offset: int
    line: int
    received: int

    @property
    def place(self) -> Place:
        return Place(self.partition, self.offset, self.line)


class RejectRow(NamedTuple):
    """A copy that does not count."""

    tenant_id: str
    partition: int
    offset: int
    line: int
    received: int
    reason: str
    detail: str
    raw: str
    raw_encoding: str
    raw_bytes: int
    raw_sha256: str

    @property
    def place(self) -> Place:
        return Place(self.partition, self.offset, self.line)


def alerts(event: EventRow) -> Statement:
    """What was told after an event was received, of periods that it lies in."""
    return _ALERTS, {
        "tenant_id": event.tenant_id,
        "metric": event.metric,
        "subject": event.subject,
        "received": event.received,
        "timestamp": event.timestamp,
    }


def read_alert(row: Sequence[Any]) -> AlertOfEvent:
    """A row of ``alerts``."""
    id, type, at, threshold_id, subject, usage, limit, step, start, end = row
    return AlertOfEvent(
        id=id,
        type=type,
        timestamp=instant_of(at),
        threshold_id=threshold_id,
        subject=subject,
        usage=short(usage),
        limit=short(limit),
        step=short(step),
        period_start=None if start is None else instant_of(start),
        period_end=None if end is None else instant_of(end),
    )


def short(decimal: str | None) -> str | None:
    """A decimal without zeros at its end."""
    return decimal.rstrip("0").rstrip(".") if decimal and "." in decimal else decimal
