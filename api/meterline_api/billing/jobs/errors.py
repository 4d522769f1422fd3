"""Errors of billing's jobs.

MeterlineError
├── JobMissingError     this server has no function for the job
├── JobBusyError        the job is being done for another instant
└── RunLostError        another process does the run: whoever is told so must stop
"""

from __future__ import annotations

from typing import Final

from meterline_schemas.billing.run import Job, Run
from meterline_schemas.errors import MeterlineError

_NEEDS: Final = dict.fromkeys((Job.PUSH, Job.RETRY, Job.RECONCILE), "METERLINE_STRIPE_KEY, the key of Stripe") | {
    Job.EXPORT: "METERLINE_BILLING_EXPORT_TO, where files are written to"
}


class JobMissingError(MeterlineError):
    def __init__(self, job: Job) -> None:
        needs = f"; it needs {_NEEDS[job]}" if job in _NEEDS else ""
        super().__init__(f"this server does not do the job {job}: it is not set up here, and is not scheduled{needs}")


class JobBusyError(MeterlineError):
    """``run`` is the one that is being done."""

    def __init__(self, run: Run) -> None:
        super().__init__(
            f"the job {run.job} is being done for {run.due.isoformat()}, one run at a time; ask again when it has ended"
        )
        self.run = run


class RunLostError(MeterlineError):
    def __init__(self, run: Run) -> None:
        super().__init__(
            f"the run of {run.job} for {run.due.isoformat()} went on in another process while this one stood still"
        )
