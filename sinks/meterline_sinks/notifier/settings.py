"""Settings of the notifier: ``METERLINE_NOTIFY_*``, and ``METERLINE_SMTP_URL`` and ``METERLINE_SMTP_FROM``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from meterline_schemas.settings import PREFIX
from meterline_sinks.notifier.smtp_url import read_smtp_url

_HOURS = 3600.0


class NotifySettings(BaseSettings):
    """Times are in seconds."""

    model_config = SettingsConfigDict(env_prefix=PREFIX + "NOTIFY_", extra="ignore", frozen=True)

    health_port: Annotated[int, Field(ge=0, le=65535, description="port of /health and /metrics; 0 is none")] = 0
    worker_id: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9._-]{0,128}$",
            description="a name that outlives the process: a restart under it gets its partitions back at once",
        ),
    ] = ""
    allow_private: Annotated[
        bool, Field(description="whether webhooks may lead to private, loopback and other non-public addresses")
    ] = False
    timeout: Annotated[float, Field(gt=0, le=300, description="an attempt without an answer fails after")] = 10
    retry_delays: Annotated[
        tuple[Annotated[float, Field(gt=0)], ...],
        Field(min_length=1, description="pauses between attempts, as a JSON list; the last one repeats"),
    ] = (5, 30, 120, 600, 1800, 1 * _HOURS, 2 * _HOURS, 4 * _HOURS, 8 * _HOURS)
    give_up_after: Annotated[float, Field(gt=0, description="no attempt begins this long after the first")] = (
        24 * _HOURS
    )
    operators: Annotated[
        tuple[Annotated[str, Field(max_length=254, pattern=r"^[^@\s]+@[^@\s]+$")], ...],
        Field(max_length=20, description="addresses that are told what needs whoever runs it, as a JSON list"),
    ] = ()
    concurrency: Annotated[int, Field(ge=1, le=100, description="attempts at one target at a time")] = 4
    stuck_after: Annotated[float, Field(gt=0, description="health fails when nothing is committed for this long")] = 60
    crash: Annotated[
        str,
        Field(
            pattern=r"^((before_ledger|after_ledger|after_commit|before_outcome)(:[1-9][0-9]*)?)?$",
            description="for tests: die as by kill -9 at this step, at the n-th time",
        ),
    ] = ""


class SmtpSettings(BaseSettings):
    """The server that sends e-mails; with an empty URL there is none."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)

    smtp_url: Annotated[SecretStr, Field(description="smtp[s]://[user:password@]host[:port][?starttls=…]")] = SecretStr(
        ""
    )
    smtp_from: Annotated[
        str,
        Field(
            max_length=254,
            pattern=r"^[!-;=?A-~]+@[A-Za-z0-9.-]+$",
            description="the address that e-mails come from",
        ),
    ] = "meterline@localhost"

    @field_validator("smtp_url")
    @classmethod
    def _is_smtp(cls, url: SecretStr) -> SecretStr:
        if url.get_secret_value():
            read_smtp_url(url.get_secret_value())
        return url
