"""Runs in the order of lists, filtered and by pages. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from meterline_api.opaque import opaque, plain
from meterline_schemas.billing.run import Job, Run, RunState

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND: Final = timedelta(seconds=1)
_CURSOR: Final = re.compile(rf"([0-9]{{1,11}}) ({'|'.join(Job)})")


class Place(NamedTuple):
    """Where a run stands: seconds since 1970 of its instant, and its job."""

    due: int
    job: str


def place(run: Run) -> Place:
    return Place((run.due - _EPOCH) // _SECOND, run.job)


def page(
    runs: Iterable[Run], job: Job | None, state: RunState | None, limit: int, after: Place | None
) -> tuple[list[Run], str | None]:
    """Those that match, the last instant first, and the cursor of those behind them."""
    found = [
        run
        for run in runs
        if (job is None or run.job is job)
        and (state is None or run.state is state)
        and (after is None or place(run) < after)
    ]
    found.sort(key=place, reverse=True)
    more = len(found) > limit
    return found[:limit], write_cursor(place(found[limit - 1])) if more else None


def write_cursor(last: Place) -> str:
    return opaque(f"{last.due} {last.job}")


def read_cursor(text: str) -> Place | None:
    """The place that ``write_cursor`` wrote; None where it wrote no such text."""
    found = _CURSOR.fullmatch(plain(text) or "")
    return Place(int(found[1]), found[2]) if found else None
