"""Storage metering wired together: the provider that the settings name, the desk, and the job on schedule."""

from __future__ import annotations

from collections.abc import Callable

from meterline_api.service import Service
from meterline_api.storage.desk import Desk
from meterline_api.storage.findings import Provider
from meterline_api.storage.folder import FolderProvider
from meterline_api.storage.job import Job
from meterline_api.storage.place import Bucket, Buckets, Folder, parse
from meterline_api.storage.s3 import S3Provider
from meterline_api.storage.settings import StorageSettings


def provider_of(settings: StorageSettings) -> Provider | None:
    """Who measures; None where the settings name no storage. Nothing is reached for yet.

    Raises:
        ConfigurationError: as ``S3Provider``.
    """
    if not settings.configured:
        return None
    match parse(settings.url):
        case Folder() as place:
            return FolderProvider(place)
        case Bucket() | Buckets() as place:
            return S3Provider(place, settings)


class Storage:
    """Started once for each process. ``desk`` is None, and nothing runs, without a provider."""

    def __init__(
        self,
        settings: StorageSettings | None,
        provider: Provider | None,
        service: Service,
        catalog_read: Callable[[], bool],
    ) -> None:
        self.desk: Desk | None = None
        self._job: Job | None = None
        if settings is not None and provider is not None:
            self.desk = Desk(settings, provider, service)
            self._job = Job(self.desk, lambda: catalog_read() and not service.trouble())

    def start(self) -> None:
        if self._job is not None:
            self._job.start()

    def stop(self) -> None:
        if self._job is not None:
            self._job.stop()
