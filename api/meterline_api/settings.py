"""Settings of the API: ``METERLINE_API_*``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from meterline_schemas.settings import PREFIX


class ApiSettings(BaseSettings):
    """Where the API listens, who may call it, and how much one request may hold. Times are in seconds."""

    model_config = SettingsConfigDict(env_prefix=PREFIX + "API_", extra="ignore", frozen=True)

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="0: any free port, which the log names")] = 3000
    key: Annotated[SecretStr, Field(min_length=1, description="callers send it as Authorization: Bearer <key>")]
    max_body_bytes: Annotated[int, Field(ge=1024, description="of a request, compressed and not")] = 8 * 1024 * 1024
    max_events: Annotated[int, Field(ge=1, description="of a request")] = 10_000
    ack_timeout: Annotated[float, Field(gt=0, description="without Kafka's answer an event is unknown after")] = 10
    query_timeout: Annotated[float, Field(gt=0, description="a query is given up after")] = 30
    stuck_after: Annotated[float, Field(gt=0, description="health fails when offsets stand still for this long")] = 60
    sample_seconds: Annotated[float, Field(gt=0, description="between two looks at Kafka and ClickHouse")] = 5
