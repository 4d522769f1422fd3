"""What a running ``meterline up`` tells the other commands: ``run.json`` in its data folder.

A command's settings are those of the run that it finds; a ``METERLINE_*`` variable that is set wins over the run's.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec
import psutil

from meterline_deploy.errors import NotRunningError
from meterline_deploy.folders import write_private

DATA_VARIABLE: Final = "METERLINE_DATA"
DEFAULT_DATA: Final = Path(".meterline")
FILE: Final = "run.json"

# any of these, and a command can do without a run
SERVERS: Final = ("METERLINE_KAFKA", "METERLINE_CLICKHOUSE_URL", "METERLINE_API_URL")

_CLOCK_SLACK = 5.0  # seconds that a process' start may seem to move when the clock is set


class RunInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One start of ``meterline up``. ``health`` holds the URL of ``/health`` by part."""

    pid: int
    started: float
    kafka: str
    kafka_config: dict[str, str] = {}
    topic_prefix: str = ""
    clickhouse_url: str
    clickhouse_user: str
    clickhouse_password: str
    clickhouse_database: str = "meterline"
    analyst_user: str
    analyst_password: str
    api_url: str
    api_key: str
    health: dict[str, str] = {}

    def __repr__(self) -> str:  # most of the others are secrets, or hold some
        return f"RunInfo(pid={self.pid}, kafka={self.kafka!r}, api_url={self.api_url!r})"

    def environment(self) -> dict[str, str]:
        """The run's settings as the variables that every process of Meterline reads."""
        return {
            "METERLINE_KAFKA": self.kafka,
            "METERLINE_KAFKA_CONFIG": msgspec.json.encode(self.kafka_config).decode(),
            "METERLINE_TOPIC_PREFIX": self.topic_prefix,
            "METERLINE_CLICKHOUSE_URL": self.clickhouse_url,
            "METERLINE_CLICKHOUSE_USER": self.clickhouse_user,
            "METERLINE_CLICKHOUSE_PASSWORD": self.clickhouse_password,
            "METERLINE_CLICKHOUSE_DATABASE": self.clickhouse_database,
            "METERLINE_CLICKHOUSE_ANALYST_USER": self.analyst_user,
            "METERLINE_CLICKHOUSE_ANALYST_PASSWORD": self.analyst_password,
            "METERLINE_API_URL": self.api_url,
            "METERLINE_API_KEY": self.api_key,
        }


def started_at(pid: int) -> float:
    """When a process started, seconds since the epoch."""
    return float(psutil.Process(pid).create_time())


def write(data: Path, info: RunInfo) -> None:
    """Leave word in the data folder, for this user only."""
    write_private(data / FILE, msgspec.json.format(msgspec.json.encode(info)).decode() + "\n")


def read(data: Path) -> RunInfo | None:
    """The last start on this folder, whether it still runs or not."""
    try:
        return msgspec.json.decode((data / FILE).read_bytes(), type=RunInfo)
    except (OSError, msgspec.DecodeError):
        return None


def alive(info: RunInfo) -> bool:
    """Whether that very process still runs."""
    try:
        return abs(started_at(info.pid) - info.started) < _CLOCK_SLACK
    except psutil.Error:
        return False


def find(data: Path) -> RunInfo:
    """The ``meterline up`` that runs on this folder.

    Raises:
        NotRunningError: none does.
    """
    folder = data.expanduser().absolute()
    info = read(folder)
    if info is None or not alive(info):
        raise NotRunningError(folder)
    return info


def data_folder(data: Path | None = None) -> Path:
    """The folder that was asked for, or METERLINE_DATA, or ``./.meterline``."""
    return data or Path(os.environ.get(DATA_VARIABLE) or DEFAULT_DATA)


def settings_environment(data: Path | None = None) -> dict[str, str]:
    """The METERLINE_* variables that a command works with: the run's, and over them those that are set.

    Raises:
        NotRunningError: nothing runs on the folder and no server is named by a variable.
    """
    given = {name: value for name, value in os.environ.items() if name.startswith("METERLINE_")}
    try:
        return {**find(data_folder(data)).environment(), **given}
    except NotRunningError:
        if not any(name in given for name in SERVERS):
            raise
        return given


def use(data: Path | None = None) -> None:
    """Put ``settings_environment`` into this process' environment, so that ``settings.load`` finds it."""
    os.environ.update(settings_environment(data))
