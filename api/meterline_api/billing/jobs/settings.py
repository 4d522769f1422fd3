"""Settings of billing's jobs: ``METERLINE_BILLING_*``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from meterline_api.billing.jobs.due import Fires, Patience
from meterline_api.storage import cron
from meterline_schemas.billing.run import Job
from meterline_schemas.settings import PREFIX

_ANY: Final = datetime(2026, 1, 1, tzinfo=UTC)


def _is_cron(schedule: str) -> str:
    if schedule and cron.trigger(schedule).get_next_fire_time(None, _ANY) is None:
        raise ValueError("there is no such day in any year")
    return schedule


Schedule = Annotated[
    str, AfterValidator(_is_cron), Field(description="five fields of cron, in UTC; empty: only when it is asked for")
]


class JobSettings(BaseSettings):
    """When each job is done, by whichever process comes first."""

    model_config = SettingsConfigDict(env_prefix=PREFIX + "BILLING_", extra="ignore", frozen=True)

    enabled: Annotated[bool, Field(description="false: jobs are done only when they are asked for")] = True
    check_aggregation_schedule: Schedule = "10 * * * *"
    push_schedule: Schedule = "0 1 * * *"
    retry_schedule: Schedule = "0 */6 * * *"
    close_schedule: Schedule = "30 * * * *"
    reconcile_schedule: Schedule = "30 2 * * *"
    items_schedule: Schedule = "45 * * * *"
    costs_schedule: Schedule = "30 3 * * *"
    export_schedule: Schedule = "0 5 * * *"
    lost_after: Annotated[
        timedelta,
        Field(
            ge=timedelta(seconds=2),
            le=timedelta(days=1),
            description="a run is taken over once its process was silent for so long",
        ),
    ] = timedelta(minutes=1)
    try_again_after: Annotated[
        timedelta,
        Field(ge=timedelta(seconds=1), le=timedelta(days=7), description="a run that failed is tried again after"),
    ] = timedelta(minutes=10)

    @property
    def patience(self) -> Patience:
        return Patience(self.lost_after, self.try_again_after)

    def schedule(self, job: Job) -> str:
        """Cron's fields; empty: none."""
        schedules = {
            Job.CHECK_AGGREGATION: self.check_aggregation_schedule,
            Job.PUSH: self.push_schedule,
            Job.RETRY: self.retry_schedule,
            Job.CLOSE: self.close_schedule,
            Job.RECONCILE: self.reconcile_schedule,
            Job.ITEMS: self.items_schedule,
            Job.COSTS: self.costs_schedule,
            Job.EXPORT: self.export_schedule,
        }
        return schedules[job]

    def fires(self, job: Job) -> Fires | None:
        """The instants of its schedule; None where it has none."""
        schedule = self.schedule(job)
        return cron.trigger(schedule) if schedule else None
