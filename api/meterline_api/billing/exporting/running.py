"""Exports for finance wired together."""

from __future__ import annotations

from meterline_api.billing.exporting.asked import Sources
from meterline_api.billing.exporting.job import ExportJob
from meterline_api.billing.exporting.places import Store
from meterline_api.billing.exporting.settings import ExportSettings
from meterline_api.billing.jobs.context import JobFunction
from meterline_schemas.billing.run import Job


class Exporting:
    """Made once for each process. ``store`` is where the job writes what ``settings`` say; None: there is no job."""

    def __init__(
        self,
        sources: Sources,
        settings: ExportSettings,
        store: Store | None,
    ) -> None:
        self.sources = sources
        self._settings = settings
        self._store = store

    def functions(self) -> dict[Job, JobFunction]:
        """The job ``export``, where there is somewhere to write to."""
        if self._store is None:
            return {}
        return {Job.EXPORT: ExportJob(self.sources, self._store, self._settings).run}
