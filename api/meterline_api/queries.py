"""A request for usage, and how the numbers and rows of its answer are read. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec

from meterline_schemas.catalog import Aggregation
from meterline_schemas.counter import average
from meterline_schemas.quantity import exact_nano, format_nano

_HOUR_MS: Final = 3_600_000


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
    """Usage in ``[start, end)``, both whole UTC hours. Every row is of one metric. ``after``: the last row's key.

    ``tenants`` are whose usage it is about; None: everybody's.
    """

    start: datetime
    end: datetime
    window: Window | None = None
    tenants: tuple[str, ...] | None = None
    metric: str | None = None
    subject: str | None = None
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
    """What a row of usage holds. Decimals are text.

    ``computed`` is of metrics that only their events can tell, and is then all there is besides ``count``: how many
    different values, the percentile, or for a gauge unit x milliseconds.
    """

    count: int
    sum: str
    min: str
    max: str
    last: str
    computed: str = ""

    def value(self, aggregation: Aggregation) -> str:
        """The metric's number, a plain decimal. What has more than 9 decimals is rounded once, half to even."""
        match aggregation:
            case Aggregation.COUNT:
                return str(self.count)
            case Aggregation.SUM:
                text = self.sum
            case Aggregation.AVG:
                return format_nano(average(exact_nano(self.sum), self.count))
            case Aggregation.MIN:
                text = self.min
            case Aggregation.MAX:
                text = self.max
            case Aggregation.LAST:
                text = self.last
            case Aggregation.TIME_WEIGHTED:
                return format_nano(average(exact_nano(self.computed), _HOUR_MS))
            case _:
                text = self.computed
        return text.rstrip("0").rstrip(".") if "." in text else text


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
