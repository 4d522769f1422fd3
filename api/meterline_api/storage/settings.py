"""Settings of storage metering: ``METERLINE_STORAGE_*``. Without a URL nothing is measured."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from meterline_api.storage import cron, place
from meterline_api.storage.unit import Unit
from meterline_schemas.event import MAX_ID
from meterline_schemas.settings import PREFIX


class StorageSettings(BaseSettings):
    """Where tenants' data lies, when it is measured, and what the readings are called."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX + "STORAGE_", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    url: Annotated[str, Field(description="file:///data/tenants, s3://bucket/prefix/ or s3://files-{tenant}/")] = ""
    metric: Annotated[str, Field(min_length=1, max_length=128, description="key of a time_weighted metric")] = "storage"
    unit: Annotated[Unit | None, Field(description="GB (10^9) or GiB (2^30); by default as the metric says")] = None
    schedule: Annotated[str, Field(description="five fields of cron, in UTC")] = "0 3 * * *"
    grace: Annotated[
        timedelta, Field(gt=timedelta(0), le=timedelta(days=7), description="a missed run is made up for within")
    ] = timedelta(hours=12)
    source: Annotated[str, Field(min_length=1, max_length=MAX_ID, description="of the readings")] = "meterline-storage"
    allow_empty: Annotated[bool, Field(description="count 0 for all, should no tenant have a place any more")] = False
    endpoint: Annotated[str, Field(pattern=r"^(https?://[^/\s].*)?$", description="of S3 elsewhere than Amazon")] = ""
    region: str = ""
    access_key: Annotated[str, Field(description="by default as AWS_ACCESS_KEY_ID and so on say")] = ""
    secret_key: SecretStr | None = None

    @property
    def configured(self) -> bool:
        return bool(self.url)

    @field_validator("url")
    @classmethod
    def _is_place(cls, url: str) -> str:
        if url:
            place.parse(url)
        return url

    @field_validator("unit")
    @classmethod
    def _is_large(cls, unit: Unit | None) -> Unit | None:
        if unit is Unit.BYTE:
            raise ValueError("is GB or GiB; bytes are counted where the metric's unit is byte")
        return unit

    @field_validator("schedule")
    @classmethod
    def _is_cron(cls, schedule: str) -> str:
        cron.trigger(schedule)
        return schedule

    @field_validator("source")
    @classmethod
    def _is_printable(cls, source: str) -> str:
        if not source.isprintable():
            raise ValueError("has control or other unprintable characters")
        return source

    @model_validator(mode="after")
    def _has_both_keys(self) -> Self:
        if bool(self.access_key) != bool(self.secret_key and self.secret_key.get_secret_value()):
            raise ValueError("METERLINE_STORAGE_ACCESS_KEY and METERLINE_STORAGE_SECRET_KEY need each other")
        return self
