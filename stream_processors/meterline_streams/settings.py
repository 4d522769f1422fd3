"""Settings of a stream worker."""

from __future__ import annotations

import socket
from typing import Annotated

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from meterline_schemas.settings import PREFIX, JudgeSettings, KafkaSettings


class StreamSettings(KafkaSettings, JudgeSettings):
    """Everything a worker needs to know, from ``METERLINE_*`` variables."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)

    stream_worker_id: Annotated[
        str, Field(description="static membership: unique per worker, the same after its restart")
    ] = socket.gethostname() + "-1"
    stream_health_port: Annotated[int, Field(ge=0, le=65535)] = 0
    checkpoint_seconds: Annotated[float, Field(gt=0, le=60)] = 0.5
    checkpoint_bytes: Annotated[int, Field(ge=1024, description="of one partition's records in one checkpoint")] = (
        8 * 1024 * 1024
    )
    pending_bytes: Annotated[int, Field(ge=1024, description="of all partitions' records waiting")] = 32 * 1024 * 1024
    catalog_seconds: Annotated[
        float,
        Field(gt=0, description="between two looks for changes; an unknown metric or tenant is looked up at once"),
    ] = 1.0
    session_seconds: Annotated[float, Field(ge=6, le=300)] = 10.0
    transaction_seconds: Annotated[float, Field(ge=1, le=900)] = 15.0
    stall_seconds: Annotated[float, Field(gt=0, description="lag without a checkpoint for so long fails health")] = 60.0
    accept_lost: Annotated[
        dict[int, int], Field(description="partition → offset: go on there although what lies before is lost")
    ] = {}  # noqa: RUF012 - pydantic copies it

    @model_validator(mode="after")
    def _horizon_exceeds_future(self) -> StreamSettings:
        if self.horizon < 3 * self.accept_future:
            raise ValueError("METERLINE_HORIZON must be at least three times METERLINE_ACCEPT_FUTURE")
        return self
