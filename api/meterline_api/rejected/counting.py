"""Counts of rejected lines as callers see them: rows, and the cursor for those after them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from meterline_api.opaque import opaque, plain
from meterline_api.rejected.models import RejectedCount, RejectedCounts
from meterline_api.rejected.statements import CountQuery, Group
from meterline_api.usage.query import CursorError


def answer(query: CountQuery, start: datetime, end: datetime, rows: Sequence[Sequence[Any]]) -> RejectedCounts:
    """Rows of ``statements.counts`` for ``[start, end)``."""
    shown = rows[: query.limit]
    given: dict[str, Any] = {"start": start, "end": end, "window": query.step and query.step.value}
    if len(rows) > query.limit:
        given["next_cursor"] = opaque(msgspec.json.encode(list(shown[-1][:-1])).decode())
    return RejectedCounts(**given, data=[_row(query, start, end, row) for row in shown])


def _row(query: CountQuery, start: datetime, end: datetime, row: Sequence[Any]) -> RejectedCount:
    seconds, *names, lines = row
    first, last = start, end
    if query.step is not None:
        first = datetime.fromtimestamp(seconds, UTC)
        first, last = max(first, start), min(first + timedelta(seconds=query.step.seconds), end)
    groups = {group.value: name for group, name in zip(query.key, names, strict=True)}
    return RejectedCount(start=first, end=last, lines=lines, **groups)


def read_cursor(text: str, group_by: Sequence[Group]) -> tuple[int | str, ...]:
    """The key that ``answer`` wrote.

    Raises:
        CursorError: it is none.
    """
    try:
        start, *names = msgspec.json.decode((plain(text) or "").encode(), type=list[int | str])
    except (msgspec.DecodeError, UnicodeEncodeError, ValueError):
        raise CursorError("cursor is none that this server gave; start again without one") from None
    texts = [name for name in names if isinstance(name, str)]
    if not isinstance(start, int) or not 0 <= start < 2**40 or len(texts) != len(names):
        raise CursorError("cursor is none that this server gave; start again without one")
    if len(names) != len(set(group_by)):
        raise CursorError("cursor belongs to another request; start again without one")
    return (start, *texts)
