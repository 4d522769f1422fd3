"""The functions of the jobs: the one place where each is named."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import FastAPI

from meterline_api.billing.jobs.context import JobFunction
from meterline_schemas.billing.run import Job


def functions_of(app: FastAPI) -> Mapping[Job, JobFunction]:
    """What this process can do, made of the parts in ``app.state``. A job that is not here is not scheduled."""
    return {Job.CLOSE: app.state.invoices.close_job}
