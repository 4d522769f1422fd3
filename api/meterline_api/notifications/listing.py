"""Notifications as SQL: a request in, a statement with parameters out, and its rows read. Pure.

A value never becomes part of the statement.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from meterline_api.notifications.models import NotificationAnswer
from meterline_api.opaque import opaque, plain
from meterline_schemas.notification import Type

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_LAST_MS: Final = 10_413_791_999_999  # 2299-12-31T23:59:59.999Z: what DateTime64(3) holds
_CURSOR: Final = re.compile(r"([0-9]{1,14}) (.{1,300})", re.DOTALL)

_COLUMNS: Final = (
    "n.id, n.type, toUnixTimestamp64Milli(n.occurred_at), n.tenant_id, n.metric, n.subject, n.threshold_id, "
    "toString(n.usage), toString(n.`limit`), toString(n.percent), toString(n.step), "
    "toUnixTimestamp64Milli(n.period_start), toUnixTimestamp64Milli(n.period_end)"
)
_ONE: Final = (
    f"SELECT {_COLUMNS}, n.data, n.kafka_partition FROM notifications AS n FINAL WHERE n.id = {{id:String}} LIMIT 1"
)


class Place(NamedTuple):
    """Where a notification stands in the order of the list."""

    milliseconds: int
    id: str


@dataclass(frozen=True)
class ListQuery:
    """Notifications of ``[start, end)``, the newest first; ``after`` is the last one that was given.

    ``tenants`` are whom it is about; None: everybody.
    """

    type: Type | None = None
    tenants: tuple[str, ...] | None = None
    metric: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    limit: int = 100
    after: Place | None = None


@dataclass(frozen=True)
class Told:
    """A notification as the table has it. ``data`` is JSON, ``partition`` that of its record in Kafka."""

    answer: NotificationAnswer
    data: str
    partition: int


def build(query: ListQuery) -> tuple[str, dict[str, Any]]:
    """The statement and its parameters. One row more than ``limit`` is asked for: it says that there are more."""
    parameters: dict[str, Any] = {"limit": query.limit + 1}
    conditions = []
    for name, value in (("type", query.type), ("metric", query.metric)):
        if value is not None:
            conditions.append(f"n.{name} = {{{name}:String}}")
            parameters[name] = str(value)
    if query.tenants is not None:
        conditions.append("n.tenant_id IN {tenants:Array(String)}")
        parameters["tenants"] = list(query.tenants)
    for name, sign, instant in (("from", ">=", query.start), ("to", "<", query.end)):
        if instant is not None:
            conditions.append(f"n.occurred_at {sign} fromUnixTimestamp64Milli({{{name}:Int64}}, 'UTC')")
            parameters[name] = _milliseconds(instant)
    if query.after is not None:
        conditions.append("(n.occurred_at, n.id) < (fromUnixTimestamp64Milli({after:Int64}, 'UTC'), {after_id:String})")
        parameters |= {"after": query.after.milliseconds, "after_id": query.after.id}
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    sql = (
        f"SELECT {_COLUMNS} FROM notifications AS n FINAL{where} "
        "ORDER BY n.occurred_at DESC, n.id DESC LIMIT {limit:UInt32}"
    )
    return sql, parameters


def build_one(id: str) -> tuple[str, dict[str, Any]]:
    """The statement for one notification, and its parameters."""
    return _ONE, {"id": id}


def read(row: Sequence[Any]) -> NotificationAnswer:
    """A row of ``build``."""
    id, type, occurred_at, tenant_id, metric, subject, threshold_id, *numbers = row
    usage, limit, percent, step, start, end = numbers
    return NotificationAnswer(
        id=id,
        type=type,
        timestamp=_instant(occurred_at),
        tenant_id=tenant_id,
        metric=metric,
        subject=subject,
        threshold_id=threshold_id,
        usage=_decimal(usage),
        limit=_decimal(limit),
        percent=_decimal(percent),
        step=_decimal(step),
        period_start=None if start is None else _instant(start),
        period_end=None if end is None else _instant(end),
    )


def read_one(row: Sequence[Any]) -> Told:
    """A row of ``build_one``."""
    *columns, data, partition = row
    return Told(read(columns), data, partition)


def write_cursor(last: NotificationAnswer) -> str:
    """The place of the last one that was given, as text that callers need not understand."""
    return opaque(f"{_milliseconds(last.timestamp)} {last.id}")


def read_cursor(text: str) -> Place | None:
    """The place that ``write_cursor`` wrote; None where it wrote no such text."""
    found = _CURSOR.fullmatch(plain(text) or "")
    return Place(int(found[1]), found[2]) if found and int(found[1]) <= _LAST_MS else None


def _milliseconds(instant: datetime) -> int:
    """Rounded up: what is before an instant, or not, stays so."""
    return min(max(-((_EPOCH - instant) // _MILLISECOND), 0), _LAST_MS)


def _instant(milliseconds: int) -> datetime:
    return _EPOCH + milliseconds * _MILLISECOND


def _decimal(text: str | None) -> str | None:
    return text.rstrip("0").rstrip(".") if text and "." in text else text
