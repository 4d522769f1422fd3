"""The functions of the jobs: the one place where each is named."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Final

from fastapi import FastAPI

from meterline_api.billing.aggregation import Aggregation
from meterline_api.billing.jobs.context import JobFunction, Outcome, RunContext
from meterline_schemas.billing.run import Job
from meterline_schemas.errors import UnavailableError

_LOOK_EVERY: Final = 0.1
_PATIENCE: Final = 60.0  # seconds until the catalog is read, in a process that begins


def functions_of(app: FastAPI) -> Mapping[Job, JobFunction]:
    """What this process can do, made of the parts in ``app.state``. A job that is not here is not scheduled."""
    state = app.state
    aggregation = Aggregation(
        state.invoices.tables, lambda: state.billing_jobs.ledger.read(), state.service.watch.passed_on
    )
    functions: dict[Job, JobFunction] = {
        Job.CHECK_AGGREGATION: aggregation.check,
        Job.CLOSE: state.invoices.close_job,
        Job.COSTS: state.costing.job,
        **state.stripe.functions(),
        **state.invoice_items.functions(),
        **state.exporting.functions(),
    }
    return {job: _with_catalog(function, state.catalog_ready) for job, function in functions.items()}


def _with_catalog(function: JobFunction, ready: Callable[[], bool]) -> JobFunction:
    """Not before this process has read the catalog: an empty one would have nothing to do, and be done."""

    async def waits(run: RunContext) -> Outcome:
        deadline = time.monotonic() + _PATIENCE
        while not ready():
            if time.monotonic() >= deadline:
                raise UnavailableError("the catalog could not be read yet; `meterline doctor` looks")
            await asyncio.sleep(_LOOK_EVERY)
        return await function(run)

    return waits
