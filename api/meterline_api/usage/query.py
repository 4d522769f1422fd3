"""A request for usage, and how the numbers and rows of its answer are read. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from fractions import Fraction
from typing import Final

import msgspec

from meterline_api.usage.filters import OF_TOTALS, PROPERTY, Filter, fields_of
from meterline_api.usage.windows import Window as Window
from meterline_schemas.catalog import Aggregation
from meterline_schemas.counter import average
from meterline_schemas.quantity import exact_nano, format_nano

_HOUR_MS: Final = 3_600_000
_PRESENT: Final = "="  # stands before the value of a property, in keys of rows


class Dimension(StrEnum):
    """What rows can be told apart by, besides window and metric; and ``properties.<name>``."""

    METRIC = "metric"
    TENANT_ID = "tenant_id"
    SUBJECT = "subject"
    SOURCE = "source"


class CursorError(ValueError):
    """The cursor is none that an answer to this request gave."""


@dataclass(frozen=True)
class UsageQuery:
    """Usage in ``[start, end)``. Every row is of one metric. ``after``: the last row's key.

    ``tenants`` are whose usage it is about; None: everybody's. A ``filter`` narrows that, and never widens it.
    ``zone`` is what windows follow; None: UTC, and for billing periods each tenant's own. ``start`` and ``end`` are
    whole UTC hours or, where ``of_events`` or the zone's hours are no UTC hours, whole minutes.

    ``compare``: each row has the previous window beside it. ``top``: only so many rows of each window and metric, those
    of the greatest values or, with ``least``, of the least; ``other``: and what the others add up to.

    ``cut``: by partition of ``usage.events`` the offset before which events are taken, none of other partitions. It is
    answered from the events alone.
    """

    start: datetime
    end: datetime
    window: Window | None = None
    tenants: tuple[str, ...] | None = None
    metric: str | None = None
    subject: str | None = None
    group_by: tuple[str, ...] = ()
    limit: int = 1000
    after: tuple[int | str, ...] | None = None
    zone: str | None = None
    filter: Filter | None = None
    compare: bool = False
    top: int | None = None
    least: bool = False
    other: bool = False
    cut: tuple[tuple[int, int], ...] | None = None

    @property
    def key(self) -> tuple[str, ...]:
        """What a row is identified by, next to its window, in the order of the rows."""
        chosen = {Dimension.METRIC.value, *self.group_by}
        known = [dimension.value for dimension in Dimension if dimension in chosen]
        return (*known, *dict.fromkeys(name for name in self.group_by if name.startswith(PROPERTY)))

    @property
    def of_events(self) -> bool:
        """Whether it asks for what totals do not keep apart."""
        if self.subject is not None or self.window is Window.MINUTE or self.cut is not None:
            return True
        return not {*self.key, *fields_of(self.filter)} <= OF_TOTALS


@dataclass(frozen=True)
class Numbers:
    """What a row of usage holds. Decimals are text, empty where there is no usage.

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
        if not (self.sum or self.computed):
            return "0"
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


def change_percent(value: str, previous: str) -> str | None:
    """By how much a value is above the previous one, in percent with one decimal, half to even; None from 0."""
    old = exact_nano(previous)
    if old == 0:
        return None
    tenths = round(Fraction(exact_nano(value) - old, abs(old)) * 1000)
    return f"{'-' if tenths < 0 else ''}{abs(tenths) // 10}.{abs(tenths) % 10}"


def property_of(text: str) -> str | None:
    """The value of a property in the key of a row; None where the events have none."""
    return text.removeprefix(_PRESENT) if text else None


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
