"""Errors of setting up and running.

meterline_schemas.errors.MeterlineError
├── ConfigurationError
│   ├── FolderInUseError        (folders) another process works on the data folder
│   ├── PortsTakenError         somebody else listens where a part should
│   ├── CatalogFileError        a file for the catalog has mistakes
│   └── NotRunningError         no `meterline up` runs on the data folder
├── UnavailableError
│   └── PartFailedError         a part of `meterline up` did not become ready
└── PartitionCountError
    └── OtherPartitionsError    set up with another number of partitions than is asked for
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from meterline_schemas.errors import ConfigurationError, PartitionCountError, UnavailableError


class NotRunningError(ConfigurationError):
    """Nothing runs on this data folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"no `meterline up` is running on {folder}: start it, name its folder with --data or METERLINE_DATA, "
            "or set METERLINE_KAFKA, METERLINE_CLICKHOUSE_URL and METERLINE_API_URL"
        )


class PortsTakenError(ConfigurationError):
    """Somebody else listens on ports that are needed; ``taken`` maps the option that changes each to its port."""

    def __init__(self, taken: dict[str, int]) -> None:
        each = "; ".join(f"port {port} is taken: choose another one with {option}" for option, port in taken.items())
        super().__init__(each)


class CatalogFileError(ConfigurationError):
    """A file for the catalog cannot be taken; nothing of it was applied."""

    def __init__(self, path: Path | str, problems: Iterable[str]) -> None:
        super().__init__(f"{path} was not applied:\n  " + "\n  ".join(problems))


class PartFailedError(UnavailableError):
    """A part did not become ready."""

    def __init__(self, part: str, why: str, log: Path | None) -> None:
        where = f"; its log is {log}" if log is not None else ""
        super().__init__(f"{part} {why}{where}")


class OtherPartitionsError(PartitionCountError):
    """Another number of partitions is asked for than was written down."""

    def __init__(self, topic: str, expected: int, wanted: int) -> None:
        super().__init__(topic, expected, wanted)
        self.args = (
            f"Meterline was set up with {expected} partitions here, not {wanted}: a tenant's events would move between "
            f"partitions and repeats could count twice. Go on with --partitions {expected}; to grow, start a new "
            "installation under another METERLINE_TOPIC_PREFIX.",
        )
