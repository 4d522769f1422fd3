"""The store of a place."""

from __future__ import annotations

from meterline_api.billing.exporting.folder import FolderStore
from meterline_api.billing.exporting.places import Bucket, Folder, Store
from meterline_api.billing.exporting.settings import ExportSettings


def store_of(settings: ExportSettings) -> Store | None:
    """None: exports are written nowhere.

    Raises:
        ConfigurationError: it needs what is not installed, or the settings are none that it takes.
    """
    match settings.place:
        case None:
            return None
        case Folder(path):
            return FolderStore(path)
        case Bucket() as bucket:
            from meterline_api.billing.exporting.s3 import S3Store

            return S3Store(bucket, settings)
