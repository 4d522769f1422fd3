"""``python -m tests.api.billing.jobs.worker``: a process with the schedule, and a job that keeps to a folder.

METERLINE_TEST_NOW is what its clock says at METERLINE_TEST_SINCE, seconds since 1970; from then on it goes as all do.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

from meterline_api.billing.jobs.ledger import RunLedger
from meterline_api.billing.jobs.runner import Runner
from meterline_api.billing.jobs.scheduler import Scheduler
from meterline_api.billing.jobs.settings import JobSettings
from meterline_schemas.audit.log import AuditLog
from meterline_schemas.billing.run import Job
from meterline_schemas.settings import KafkaSettings, load
from tests.api.billing.jobs.keyed import Keyed

NOW = datetime.fromisoformat(os.environ["METERLINE_TEST_NOW"])
SINCE = float(os.environ["METERLINE_TEST_SINCE"])


def clock() -> datetime:
    return NOW + timedelta(seconds=time.time() - SINCE)


async def main() -> None:
    kafka, settings = load(KafkaSettings), load(JobSettings)
    ledger = RunLedger(kafka, AuditLog(kafka), settings.patience, clock)
    functions = {Job.CLOSE: Keyed(Path(os.environ["METERLINE_TEST_FOLDER"]))}
    runner = Runner(ledger, functions, settings.lost_after.total_seconds())
    Scheduler(settings, ledger, runner, clock).start()
    await asyncio.Event().wait()


logging.basicConfig(stream=sys.stderr, level=logging.INFO)
asyncio.run(main())
