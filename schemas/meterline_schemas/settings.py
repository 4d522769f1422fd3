"""Settings that several processes share, read from ``METERLINE_*`` variables. Needs the ``server`` extra.

``load`` reports every wrong setting at once, by the name of its variable.
"""

from __future__ import annotations

from collections.abc import Set
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, TypeVar

from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from meterline_schemas.errors import ConfigurationError
from meterline_schemas.event import MOST_AHEAD

PREFIX = "METERLINE_"


def _property(value: object) -> object:
    """JSON's true and 5 as librdkafka writes them."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


Property = Annotated[str, BeforeValidator(_property)]


class KafkaSettings(BaseSettings):
    """How to reach Kafka. Extra librdkafka properties (SASL, TLS) come as JSON in ``METERLINE_KAFKA_CONFIG``."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True, hide_input_in_errors=True)

    kafka: Annotated[str, Field(description="bootstrap servers, host:port[,host:port]")] = "127.0.0.1:9092"
    kafka_config: Annotated[dict[str, Property], Field(description="extra librdkafka properties", repr=False)] = {}
    topic_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,64}$")] = ""

    def topic(self, name: str) -> str:
        """The name on the cluster of a topic of ``meterline_schemas.topics``, or of a group."""
        return self.topic_prefix + name

    def client(self, **more: str | int | float | bool) -> dict[str, str | int | float | bool]:
        """librdkafka properties for a client of this cluster."""
        return {"bootstrap.servers": self.kafka, **self.kafka_config, **more}


class ClickHouseSettings(BaseSettings):
    """How to reach ClickHouse over HTTP."""

    model_config = SettingsConfigDict(env_prefix=PREFIX + "CLICKHOUSE_", extra="ignore", frozen=True)

    url: str = "http://127.0.0.1:8123"
    user: str = "default"
    password: SecretStr = SecretStr("")
    database: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] = "meterline"
    analyst_user: str = "analyst"
    analyst_password: SecretStr = SecretStr("")


class UnknownTenant(StrEnum):
    """What becomes of an event of a tenant that is not listed in the catalog: it counts, or it is rejected."""

    ACCEPT = "accept"
    REJECT = "reject"


def _names(value: object) -> object:
    """Names between commas, by which case does not tell them apart."""
    return (name.strip().casefold() for name in value.split(",") if name.strip()) if isinstance(value, str) else value


class JudgeSettings(BaseSettings):
    """Which event times and whose events are accepted, what is kept, and for how long repeats are remembered."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)

    accept_past: Annotated[timedelta, Field(gt=timedelta(0))] = timedelta(days=35)
    accept_future: Annotated[timedelta, Field(ge=timedelta(0), le=MOST_AHEAD)] = timedelta(minutes=5)
    horizon: Annotated[timedelta, Field(gt=timedelta(0))] = timedelta(hours=6)
    unknown_tenant: Annotated[
        UnknownTenant, Field(description="of a tenant that the catalog does not list: accept or reject its events")
    ] = UnknownTenant.ACCEPT
    denied_properties: Annotated[
        frozenset[str],
        NoDecode,
        BeforeValidator(_names),
        Field(description="names between commas of properties that nothing is kept of"),
    ] = frozenset()

    def counted(self, listed: Set[str]) -> Set[str] | None:
        """The tenants whose events count, of a catalog that lists ``listed``; None: everybody's."""
        return listed if self.unknown_tenant is UnknownTenant.REJECT else None


Settings = TypeVar("Settings", bound=BaseSettings)


def load(kind: type[Settings]) -> Settings:
    """The settings from the environment.

    Raises:
        ConfigurationError: with one line per setting that is wrong.
    """
    try:
        return kind()
    except SettingsError as error:  # its cause holds the text, which may be secret
        field = str(error).partition('"')[2].partition('"')[0]
        name = f"{kind.model_config.get('env_prefix', '')}{field}".upper()
        raise ConfigurationError(f"settings are wrong:\n  {name}: must be JSON") from None
    except ValidationError as error:
        prefix = str(kind.model_config.get("env_prefix", ""))
        lines = [
            (f"{prefix}{'_'.join(map(str, problem['loc']))}: ".upper() if problem["loc"] else "") + problem["msg"]
            for problem in error.errors()
        ]
        raise ConfigurationError("settings are wrong:\n  " + "\n  ".join(lines)) from None
