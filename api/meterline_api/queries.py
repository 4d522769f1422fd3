"""Usage as SQL: a request in, a statement with parameters out. Pure; a value never becomes part of the statement."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import msgspec

from meterline_schemas.catalog import Aggregation


class Window(StrEnum):
    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


class Dimension(StrEnum):
    """What rows can be told apart by, besides window and metric."""

    METRIC = "metric"
    TENANT_ID = "tenant_id"
    SUBJECT = "subject"
    SOURCE = "source"


class CursorError(ValueError):
    """The cursor is none that an answer to this request gave."""


@dataclass(frozen=True)
class UsageQuery:
    """Usage in ``[start, end)``, both whole UTC hours. Every row is of one metric. ``after``: the last row's key."""

    start: datetime
    end: datetime
    window: Window | None = None
    tenant_id: str | None = None
    metric: str | None = None
    group_by: tuple[Dimension, ...] = ()
    limit: int = 1000
    after: tuple[int | str, ...] | None = None

    @property
    def key(self) -> tuple[Dimension, ...]:
        """What a row is identified by, next to its window, in the order of the rows."""
        chosen = {Dimension.METRIC, *self.group_by}
        return tuple(dimension for dimension in Dimension if dimension in chosen)


@dataclass(frozen=True)
class Numbers:
    """The parts that every aggregation is made of. Decimals are text."""

    count: int
    sum: str
    min: str
    max: str
    last: str

    def value(self, aggregation: Aggregation) -> str:
        """The metric's number, a plain decimal."""
        match aggregation:
            case Aggregation.COUNT:
                return str(self.count)
            case Aggregation.SUM:
                text = self.sum
            case Aggregation.MIN:
                text = self.min
            case Aggregation.MAX:
                text = self.max
            case Aggregation.LAST:
                text = self.last
        return text.rstrip("0").rstrip(".") if "." in text else text


_WINDOWS: Final = {
    Window.HOUR: "toUnixTimestamp(toStartOfHour({time}, 'UTC'))",
    Window.DAY: "toUnixTimestamp(toStartOfDay({time}, 'UTC'))",
    Window.MONTH: "toUnixTimestamp(toDateTime(toStartOfMonth({time}, 'UTC'), 'UTC'))",
}
# totals answer at once whatever the number of events; what they do not keep apart is computed from the events
_FROM_TOTALS: Final = (
    "usage_hourly",
    "u.hour",
    "sum(u.count), toString(sum(u.sum)), toString(min(u.min)), toString(max(u.max)), "
    "toString(argMax(u.last, (u.last_timestamp, u.last_id)))",
)
_FROM_EVENTS: Final = (
    "usage_events",
    "u.timestamp",
    "count(), toString(sum(toDecimal256(u.quantity, 9))), toString(min(u.quantity)), toString(max(u.quantity)), "
    "toString(argMax(u.quantity, (u.timestamp, u.id)))",
)


def build(query: UsageQuery) -> tuple[str, dict[str, Any]]:
    """The statement and its parameters. Columns: window (seconds), the dimensions of ``query.key``, ``Numbers``.

    One row more than ``limit`` is asked for: it says that there are more.
    """
    raw = bool({Dimension.SUBJECT, Dimension.SOURCE} & set(query.key))
    table, time, numbers = _FROM_EVENTS if raw else _FROM_TOTALS
    start, end = int(query.start.timestamp()), int(query.end.timestamp())
    parameters: dict[str, Any] = {"start": start, "end": end, "limit": query.limit + 1}
    window = _WINDOWS[query.window].replace("{time}", time) if query.window else "{start:UInt32}"
    where = [
        f"{time} >= toDateTime({{start:UInt32}}, 'UTC')",
        f"{time} < toDateTime({{end:UInt32}}, 'UTC')",
    ]
    for dimension, value in ((Dimension.TENANT_ID, query.tenant_id), (Dimension.METRIC, query.metric)):
        if value is not None:
            where.append(f"u.{dimension} = {{{dimension}:String}}")
            parameters[dimension.value] = value
    keys = ["window_start", *(f"u.{dimension}" for dimension in query.key)]
    having = ""
    if query.after is not None:
        places = ["{after_0:UInt32}", *(f"{{after_{n}:String}}" for n in range(1, len(keys)))]
        having = f" HAVING ({', '.join(keys)}) > ({', '.join(places)})"
        parameters.update({f"after_{n}": value for n, value in enumerate(query.after)})
    columns = ", ".join((f"{window} AS window_start", *keys[1:], numbers))
    order = ", ".join(keys)
    sql = (
        f"SELECT {columns} FROM {table} AS u WHERE {' AND '.join(where)} "
        f"GROUP BY {order}{having} ORDER BY {order} LIMIT {{limit:UInt32}}"
    )
    return sql, parameters


def bounds(query: UsageQuery, window_start: int) -> tuple[datetime, datetime]:
    """The part of a window that lies in the query's range, from the window's first second."""
    first = datetime.fromtimestamp(window_start, UTC)
    match query.window:
        case None:
            return query.start, query.end
        case Window.HOUR:
            last = first + timedelta(hours=1)
        case Window.DAY:
            last = first + timedelta(days=1)
        case Window.MONTH:
            last = (first + timedelta(days=32)).replace(day=1)
    return max(first, query.start), min(last, query.end)


def write_cursor(key: Sequence[int | str]) -> str:
    """A row's key as text that callers need not understand."""
    return base64.urlsafe_b64encode(msgspec.json.encode(list(key))).rstrip(b"=").decode()


def read_cursor(text: str, query: UsageQuery) -> tuple[int | str, ...]:
    """The key that ``write_cursor`` wrote for a row of ``query``.

    Raises:
        CursorError: it is none.
    """
    try:
        decoded = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        window, *names = msgspec.json.decode(decoded, type=list[int | str])
    except (binascii.Error, msgspec.DecodeError, UnicodeDecodeError, ValueError):
        raise CursorError("cursor is none that this server gave; start again without one") from None
    wanted = len(query.key)
    if not isinstance(window, int) or not 0 <= window < 2**32 or len(names) != wanted:
        raise CursorError("cursor belongs to another request; start again without one")
    if not all(isinstance(name, str) for name in names):
        raise CursorError("cursor belongs to another request; start again without one")
    return (window, *names)
