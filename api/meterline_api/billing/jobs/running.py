"""Billing's jobs wired together: the ledger of runs, who carries them out, and the schedule."""

from __future__ import annotations

from collections.abc import Mapping

from meterline_api.billing.jobs.alerts import Alerts, no_alerts
from meterline_api.billing.jobs.context import JobFunction
from meterline_api.billing.jobs.ledger import RunLedger
from meterline_api.billing.jobs.runner import Runner
from meterline_api.billing.jobs.scheduler import Scheduler
from meterline_api.billing.jobs.settings import JobSettings
from meterline_schemas.audit.log import AuditLog
from meterline_schemas.billing.run import Job
from meterline_schemas.settings import KafkaSettings


class Jobs:
    """Started once for each process. Without ``settings`` nothing is on schedule; ``alerts`` as of the ledger."""

    def __init__(
        self,
        settings: JobSettings | None,
        kafka: KafkaSettings,
        audit: AuditLog,
        functions: Mapping[Job, JobFunction],
        alerts: Alerts = no_alerts,
    ) -> None:
        self.settings = settings or JobSettings(enabled=False)
        self.ledger = RunLedger(kafka, audit, self.settings.patience, alerts=alerts)
        self.runner = Runner(self.ledger, functions, self.settings.lost_after.total_seconds())
        self._scheduler = Scheduler(self.settings, self.ledger, self.runner)

    def start(self) -> None:
        self._scheduler.start()

    def stop(self) -> None:
        """End, and leave what is running: it is taken over."""
        self._scheduler.stop()
        self.runner.stop()
        self.ledger.close()
