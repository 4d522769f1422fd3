"""Settings of the sinks: ``METERLINE_SINK_*``, and one of ClickHouse that only the tables need."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from meterline_schemas.errors import ConfigurationError
from meterline_schemas.settings import PREFIX, load

First = TypeVar("First", bound=BaseSettings)
Second = TypeVar("Second", bound=BaseSettings)
Third = TypeVar("Third", bound=BaseSettings)


class SinkSettings(BaseSettings):
    """How the sink batches, and when it counts as stuck. Times are in seconds."""

    model_config = SettingsConfigDict(env_prefix=PREFIX + "SINK_", extra="ignore", frozen=True)

    health_port: Annotated[int, Field(ge=0, le=65535, description="port of /health and /metrics; 0 is none")] = 0
    worker_id: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9._-]{0,128}$",
            description="a name that outlives the process: a restart under it gets its partitions back at once",
        ),
    ] = ""
    flush_seconds: Annotated[float, Field(gt=0, le=60, description="at most one insert in this time, unless large")] = 1
    flush_bytes: Annotated[int, Field(ge=1, description="a batch of this size is inserted at once")] = 32 * 1024 * 1024
    insert_timeout: Annotated[float, Field(gt=0, description="an insert without an answer is tried again after")] = 60
    stuck_after: Annotated[float, Field(gt=0, description="health fails when nothing is committed for this long")] = 60
    crash: Annotated[
        str,
        Field(
            pattern=r"^((before_insert|before_late_totals|after_insert|after_commit)(:[1-9][0-9]*)?)?$",
            description="for tests: die as by kill -9 at this step, at the n-th time",
        ),
    ] = ""


class ClusterSettings(BaseSettings):
    """``METERLINE_CLICKHOUSE_CLUSTER``: empty for one server, else the cluster that tables are replicated on.

    Every replica of one shard holds everything; the name must stay the same for the life of the database.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX + "CLICKHOUSE_", extra="ignore", frozen=True)

    cluster: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.{}-]{0,128}$")] = ""


def load_all(first: type[First], second: type[Second], third: type[Third]) -> tuple[First, Second, Third]:
    """Three kinds of settings from the environment.

    Raises:
        ConfigurationError: with what is wrong in all of them.
    """
    problems = []
    for kind in (first, second, third):
        try:
            load(kind)
        except ConfigurationError as error:
            problems.append(str(error))
    if problems:
        raise ConfigurationError("; ".join(problem.replace("\n", "") for problem in problems))
    return load(first), load(second), load(third)
