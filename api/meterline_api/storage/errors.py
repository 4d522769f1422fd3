"""Why storage is not measured, beside servers that do not answer.

meterline_schemas.errors.MeterlineError
├── MetricError         the catalog has no metric to count storage by
└── NothingFoundError   several tenants stored something, and now nobody has a place: a missing volume looks so
"""

from __future__ import annotations

from meterline_schemas.errors import MeterlineError


class MetricError(MeterlineError):
    """The metric of storage is missing, or is none that storage can be counted by."""

    def __init__(self, key: str, why: str) -> None:
        super().__init__(f"metric {key!r} {why}; METERLINE_STORAGE_METRIC names another one")


class NothingFoundError(MeterlineError):
    """Several tenants stored something, and now there is no place of any tenant: nothing is counted."""

    def __init__(self, tenants: int) -> None:
        super().__init__(
            f"no tenant has a place in the storage, and {tenants} of them stored something: nothing was counted, since "
            "a volume that is not mounted looks like that; make sure that METERLINE_STORAGE_URL is right, or set "
            "METERLINE_STORAGE_ALLOW_EMPTY=true if all is deleted"
        )
