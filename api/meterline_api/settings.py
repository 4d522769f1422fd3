"""Settings of the API: ``METERLINE_API_*``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from meterline_schemas.settings import PREFIX

_SHORTEST_SECRET: Final = 32


class ApiSettings(BaseSettings):
    """Where the API listens, who may call it, and how much one request may hold. Times are in seconds."""

    model_config = SettingsConfigDict(env_prefix=PREFIX + "API_", extra="ignore", frozen=True)

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="0: any free port, which the log names")] = 3000
    key: Annotated[SecretStr, Field(min_length=1, description="callers send it as Authorization: Bearer <key>")]
    key_pepper: Annotated[
        SecretStr, Field(description="with the hash of every API key; by default made of the key")
    ] = SecretStr("")
    caller_limit: Annotated[str, Field(description="requests of one key or token, such as 1000/second")] = "1000/second"
    tenant_limit: Annotated[str, Field(description="requests of all keys of one tenant together")] = "2000/second"
    limit_storage: Annotated[str, Field(description="memory:// or redis://host:6379")] = "memory://"
    jwt_jwks_url: Annotated[str, Field(description="where the public keys are that tokens are signed with")] = ""
    jwt_secret: Annotated[SecretStr, Field(description="shared with the issuer (HS256), for development")] = SecretStr(
        ""
    )
    jwt_issuer: str = ""
    jwt_audience: str = ""
    jwt_role_claim: Annotated[str, Field(min_length=1)] = "role"
    jwt_tenant_claim: Annotated[str, Field(min_length=1)] = "tenant_id"
    jwt_leeway: Annotated[float, Field(ge=0, le=300, description="by which clocks may differ")] = 30
    openmeter_meters: Annotated[
        Path | None, Field(description="a file with meters as OpenMeter defines them, for its clients")
    ] = None
    max_body_bytes: Annotated[int, Field(ge=1024, description="of a request, compressed and not")] = 8 * 1024 * 1024
    max_events: Annotated[int, Field(ge=1, description="of a request")] = 10_000
    track_calls: Annotated[
        str, Field(max_length=128, description="a metric that each request of a tenant's key counts in; empty: none")
    ] = ""
    read_back: Annotated[
        float, Field(ge=0, le=10, description="that a documents' track waits for until its event can be read")
    ] = 2
    ack_timeout: Annotated[float, Field(gt=0, description="without Kafka's answer an event is unknown after")] = 10
    query_timeout: Annotated[float, Field(gt=0, description="a query is given up after")] = 30
    query_max_memory: Annotated[int, Field(ge=2**20, description="bytes that a query may need")] = 2_000_000_000
    query_max_rows: Annotated[int, Field(ge=1, description="that a query may read")] = 1_000_000_000
    stuck_after: Annotated[float, Field(gt=0, description="health fails when offsets stand still for this long")] = 60
    sample_seconds: Annotated[float, Field(gt=0, description="between two looks at Kafka and ClickHouse")] = 5

    @model_validator(mode="after")
    def _tokens_fit(self) -> Self:
        secret = self.jwt_secret.get_secret_value()
        if self.jwt_jwks_url and secret:
            raise ValueError("METERLINE_API_JWT_JWKS_URL and METERLINE_API_JWT_SECRET exclude each other")
        if (self.jwt_jwks_url or secret) and not (self.jwt_issuer and self.jwt_audience):
            raise ValueError("tokens need METERLINE_API_JWT_ISSUER and METERLINE_API_JWT_AUDIENCE")
        if secret and len(secret.encode()) < _SHORTEST_SECRET:
            raise ValueError(f"METERLINE_API_JWT_SECRET needs {_SHORTEST_SECRET} bytes (RFC 7518)")
        if self.jwt_jwks_url and not self.jwt_jwks_url.startswith(("https://", "http://")):
            raise ValueError("METERLINE_API_JWT_JWKS_URL must be an https or http address")
        return self
