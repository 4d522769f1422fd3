"""Which instant of a schedule is to be done now, given the runs that there are. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple, Protocol

from meterline_schemas.billing.run import Run, RunState

LOOK_BACK: Final = timedelta(days=400)
"""As long as runs are kept: an instant before that is never due."""
_LEAST: Final = timedelta(milliseconds=1)
_FIRST_LOOK: Final = timedelta(hours=1)


class Fires(Protocol):
    """A schedule: the first instant at or after ``now``, None where there is none."""

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None: ...


class Patience(NamedTuple):
    """After how long without a heartbeat a run is lost, and how long after a failure it is tried again."""

    lost_after: timedelta
    try_again_after: timedelta


def latest(fires: Fires, now: datetime) -> datetime | None:
    """The last instant at or before ``now``."""
    back = _FIRST_LOOK
    while True:
        back = min(back, LOOK_BACK)
        instant = fires.get_next_fire_time(None, now - back)
        if instant is not None and instant <= now:
            break
        if back == LOOK_BACK:
            return None
        back *= 2
    found = instant
    while instant is not None and instant <= now:
        found = instant
        instant = fires.get_next_fire_time(None, instant + _LEAST)
    return found.astimezone(UTC)


def due(fires: Fires, now: datetime, done: datetime | None) -> datetime | None:
    """The instant that is to be done: the last one, unless ``done``, the last one that was, is as late.

    Of several that were missed only the last one is: what is done for it is all that was to be done before.
    """
    found = latest(fires, now)
    return found if found is not None and (done is None or found > done) else None


def is_lost(run: Run, now: datetime, patience: Patience) -> bool:
    """Whether nobody does a run that was begun."""
    silent = run.state is RunState.RUNNING and now - run.seen_at >= patience.lost_after
    return silent or run.state is RunState.LOST


def is_running(run: Run, now: datetime, patience: Patience) -> bool:
    return run.state is RunState.RUNNING and not is_lost(run, now, patience)


def to_do(fires: Fires | None, runs: Mapping[datetime, Run], now: datetime, patience: Patience) -> datetime | None:
    """The instant for which a job is to be begun now; ``runs`` are those of this job, by the instant of each.

    Nothing while it is being done, whatever the instant. First comes the instant that is due, then the latest run
    that was lost: one that a later instant makes up for is never begun again, as it is replaced when that is claimed.
    """
    if any(is_running(run, now, patience) for run in runs.values()):
        return None
    done = _last(run.due for run in runs.values() if run.state is RunState.DONE)
    instant = due(fires, now, done) if fires is not None else None
    if instant is not None and _may_begin(runs.get(instant), now, patience):
        return instant
    return _last(run.due for run in runs.values() if run.state is RunState.RUNNING)


def _may_begin(run: Run | None, now: datetime, patience: Patience) -> bool:
    if run is None or run.state is not RunState.FAILED:
        return True
    return now - (run.ended_at or run.seen_at) >= patience.try_again_after


def _last(instants: Iterable[datetime]) -> datetime | None:
    return max(instants, default=None)
