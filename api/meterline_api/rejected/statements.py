"""Rejected lines as SQL: a request in, statements with parameters out, and their rows read. Pure.

A value never becomes part of a statement. Rows that were written twice show once in every answer. A line may be long:
statements that sort read no lines, and those that read lines know which ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from meterline_api.rejected.models import RejectedAnswer
from meterline_api.rejected.places import AFTER, ORDER, Place, instant_of, milliseconds
from meterline_schemas.reject import Reason
from meterline_schemas.topics import EVENTS

_KEY: Final = "r.kafka_topic, r.kafka_partition, r.kafka_offset, r.kafka_line"
_PLACE: Final = "toUnixTimestamp64Milli(r.received_at) AS received, r.kafka_partition, r.kafka_offset, r.kafka_line"
_DESCENDING: Final = "received DESC, r.kafka_partition DESC, r.kafka_offset DESC, r.kafka_line DESC"
_COLUMNS: Final = (
    f"{_PLACE}, r.kafka_topic, r.reason, r.detail, r.tenant_id, r.metric, r.id, r.lines, r.raw, r.raw_encoding, "
    "r.raw_bytes, r.raw_sha256"
)
Statement = tuple[str, dict[str, Any]]


class Step(StrEnum):
    """What counts are told apart by in time."""

    HOUR = "hour"
    DAY = "day"

    @property
    def seconds(self) -> int:
        return 3600 if self is Step.HOUR else 86_400


class Group(StrEnum):
    """What counts can be told apart by otherwise."""

    REASON = "reason"
    METRIC = "metric"
    TENANT_ID = "tenant_id"


@dataclass(frozen=True)
class Asked:
    """Which rejected lines. ``tenants`` are whose; None: everybody's, and of those that name no tenant.

    ``start`` and ``end`` are of when the broker received them, the second not included.
    """

    reasons: tuple[Reason, ...] = ()
    tenants: tuple[str, ...] | None = None
    metric: str | None = None
    id: str | None = None
    start: datetime | None = None
    end: datetime | None = None

    def where(self) -> tuple[list[str], dict[str, Any]]:
        """The conditions, of the table as ``r``, and their parameters."""
        conditions, parameters = ["r.kafka_topic = {topic:String}"], dict[str, Any](topic=EVENTS)
        for name, column, values in (("reasons", "reason", self.reasons), ("tenants", "tenant_id", self.tenants)):
            if values or (name == "tenants" and values is not None):
                conditions.append(f"r.{column} IN {{{name}:Array(String)}}")
                parameters[name] = [str(value) for value in values]
        for name, value in (("metric", self.metric), ("id", self.id)):
            if value is not None:
                conditions.append(f"r.{name} = {{{name}:String}}")
                parameters[name] = value
        for name, sign, instant in (("start", ">=", self.start), ("end", "<", self.end)):
            if instant is not None:
                conditions.append(f"r.received_at {sign} fromUnixTimestamp64Milli({{{name}:Int64}}, 'UTC')")
                parameters[name] = milliseconds(instant)
        return conditions, parameters


def newest(asked: Asked, limit: int, after: Place | None) -> Statement:
    """The places of ``limit`` lines and one more, which says that there are more; the newest first."""
    conditions, parameters = asked.where()
    if after is not None:
        conditions.append(f"({ORDER}) < {AFTER}")
        parameters |= after.parameters
    sql = (
        f"SELECT DISTINCT {_PLACE} FROM rejected_events AS r WHERE {' AND '.join(conditions)} "
        f"ORDER BY {_DESCENDING} LIMIT {{limit:UInt32}}"
    )
    return sql, {**parameters, "limit": limit + 1}


def between(asked: Asked, first: Place, last: Place) -> Statement:
    """The lines that lie from ``first`` down to ``last``, both included, the newest first."""
    conditions, parameters = asked.where()
    conditions += [f"({ORDER}) <= {AFTER}", f"({ORDER}) >= {AFTER.replace('after_', 'last_')}"]
    parameters |= first.parameters
    parameters |= {name.replace("after_", "last_"): number for name, number in last.parameters.items()}
    sql = (
        f"SELECT {_COLUMNS} FROM rejected_events AS r WHERE {' AND '.join(conditions)} "
        f"ORDER BY {_DESCENDING} LIMIT 1 BY {_KEY}"
    )
    return sql, parameters


def read(row: Sequence[Any]) -> RejectedAnswer:
    """A row of ``between`` or ``at_places``."""
    received, partition, offset, line, topic, reason, detail, tenant_id, metric, id, lines, raw, *more = row
    encoding, size, sha256 = more
    return RejectedAnswer(
        topic=topic,
        partition=partition,
        offset=offset,
        line=line,
        received_at=instant_of(received),
        reason=reason,
        detail=detail,
        tenant_id=tenant_id,
        metric=metric,
        id=id,
        lines=lines,
        raw=raw,
        raw_encoding=encoding,
        raw_bytes=size,
        raw_sha256=sha256,
    )


@dataclass(frozen=True)
class CountQuery:
    """How many lines were rejected. ``after`` is the key of the last row that was given: its time and groups."""

    asked: Asked
    step: Step | None = None
    group_by: tuple[Group, ...] = (Group.REASON,)
    limit: int = 1000
    after: tuple[int | str, ...] | None = None

    @property
    def key(self) -> tuple[Group, ...]:
        return tuple(group for group in Group if group in self.group_by)


def counts(query: CountQuery) -> Statement:
    """Columns: start (seconds since 1970; 0 without ``step``), the groups of ``query.key``, lines. One row more."""
    conditions, parameters = query.asked.where()
    start = "toInt64(0)"
    if query.step is not None:
        start = "intDiv(toUnixTimestamp64Milli(r.received_at), {step:Int64} * 1000) * {step:Int64}"
        parameters["step"] = query.step.seconds
    keys = ["start_at", *(f"r.{group}" for group in query.key)]
    having = ""
    if query.after is not None:
        places = ["{after_0:Int64}", *(f"{{after_{n}:String}}" for n in range(1, len(keys)))]
        having = f"HAVING tuple({', '.join(keys)}) > tuple({', '.join(places)}) "
        parameters |= {f"after_{n}": value for n, value in enumerate(query.after)}
    columns = ", ".join([f"{start} AS start_at", *keys[1:]])
    order = ", ".join(keys)
    sql = (
        f"SELECT {columns}, sum(r.lines) FROM rejected_events AS r FINAL WHERE {' AND '.join(conditions)} "
        f"GROUP BY {order} {having}ORDER BY {order} LIMIT {{limit:UInt32}}"
    )
    return sql, {**parameters, "limit": query.limit + 1}


def distinct_lines(asked: Asked, limit: int, after: Place | None) -> Statement:
    """The first place of each distinct line, in the order in which they came. One more than ``limit``."""
    conditions, parameters = asked.where()
    having = ""
    if after is not None:
        having = f"HAVING first > {AFTER} "
        parameters |= after.parameters
    sql = (
        f"SELECT toUnixTimestamp64Milli(first.1), first.2, first.3, first.4 FROM (SELECT min(({ORDER})) AS first "
        f"FROM rejected_events AS r WHERE {' AND '.join(conditions)} GROUP BY r.raw_sha256 {having}"
        "ORDER BY first LIMIT {limit:UInt32})"
    )
    return sql, {**parameters, "limit": limit + 1}


def at_places(asked: Asked, places: Sequence[tuple[int, int, int]]) -> Statement:
    """The lines at these partitions, offsets and lines, in the order in which they came."""
    conditions, parameters = asked.where()
    conditions.append(
        "(r.kafka_partition, r.kafka_offset, r.kafka_line) IN {places:Array(Tuple(Int32, Int64, UInt32))}"
    )
    sql = (
        f"SELECT {_COLUMNS} FROM rejected_events AS r WHERE {' AND '.join(conditions)} "
        f"ORDER BY {ORDER} LIMIT 1 BY {_KEY}"
    )
    return sql, {**parameters, "places": list(places)}
