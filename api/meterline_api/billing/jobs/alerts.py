"""What operators are told of runs: one notification of each that failed, or could not do all. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from meterline_schemas import topics
from meterline_schemas.audit.log import Write
from meterline_schemas.billing.run import Run, RunState
from meterline_schemas.notification import RunProblems, Type, notification
from meterline_schemas.partitioning import partition_of

MOST: Final = 20
"""Problems that are told; `GET /v1/billing/runs` has the others."""
_ALL_TENANTS: Final = ""

Alerts = Callable[[Run], Sequence[Write]]
"""What is written together with the end of a run."""


def no_alerts(_run: Run) -> Sequence[Write]:
    """Nobody is told."""
    return ()


def alert(run: Run, partitions: int) -> list[Write]:
    """The notification of a run that has ended; none where all was done, or there is no partition to write it to.

    One that fails again is told under the same id: whoever is told of it is told once.
    """
    if not run.problems or run.ended_at is None or not partitions:
        return []
    data = RunProblems(
        job=run.job,
        due=run.due,
        state="failed" if run.state is RunState.FAILED else "done",
        begun_at=run.begun_at,
        ended_at=run.ended_at,
        count=len(run.problems),
        problems=list(run.problems[:MOST]),
    )
    identity = (run.job.value, run.due.isoformat(), data.state)
    told = notification(Type.RUN_PROBLEMS, run.ended_at, _ALL_TENANTS, data, identity)
    home = partition_of(_ALL_TENANTS, partitions)
    return [Write(topics.NOTIFICATIONS, home, _ALL_TENANTS.encode(), told.encode())]
