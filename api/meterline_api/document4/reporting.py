"""Reporting to Stripe as the document asks for it: the job ``push``, begun now and waited for."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final

from meterline_api.billing.jobs.errors import JobBusyError
from meterline_api.billing.jobs.running import Jobs
from meterline_api.problems import Code, Problem
from meterline_api.storage.thread import in_thread
from meterline_schemas.audit.entry import Author
from meterline_schemas.billing.run import Job, Run, RunState
from meterline_schemas.errors import UnavailableError

_PATIENCE: Final = 120.0  # seconds that a caller waits
_LOOK: Final = 0.25
_RETRY: Final = {"Retry-After": "30"}


async def reported(jobs: Jobs, author: Author, now: datetime) -> dict[str, Any]:
    """What came of a push: how many days were delivered, how many not, and why.

    Raises:
        Problem: 409, a push is being done already; 503, Kafka does not answer, or it takes longer.
    """
    due = now.replace(microsecond=0)
    deadline = time.monotonic() + _PATIENCE
    try:
        run = await jobs.runner.begin(Job.PUSH, due, author)
        while run.state is RunState.RUNNING:
            if time.monotonic() >= deadline:
                detail = f"the push for {due.isoformat()} goes on; GET /v1/billing/runs says how it ends"
                raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, Code.NOT_READY, detail, headers=_RETRY)
            await asyncio.sleep(_LOOK)
            run = (await in_thread(jobs.ledger.read))[Job.PUSH].get(due, run)
    except JobBusyError as error:
        raise Problem(HTTPStatus.CONFLICT, Code.CONFLICT, str(error)) from None
    except UnavailableError as error:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, Code.KAFKA_UNAVAILABLE, str(error), headers=_RETRY) from None
    return report_of(run)


def report_of(run: Run) -> dict[str, Any]:
    """``successful`` are days that Stripe took, ``failed`` what it did not get: each has a sentence in ``errors``."""
    return {
        "successful": int(run.result.get("delivered", "0")),
        "failed": len(run.problems),
        "errors": list(run.problems),
        "run": f"{run.job}/{run.due.isoformat()}",
    }
