"""Settings of scheduled exports: ``METERLINE_BILLING_EXPORT_*``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Self
from urllib.parse import unquote, urlsplit

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from meterline_api.billing.exporting.kinds import ALL, INVOICES, JOURNAL, LINES
from meterline_api.billing.exporting.places import Bucket, Folder, Place
from meterline_api.formats.table import Format
from meterline_schemas.settings import PREFIX

_DEFAULT: Final = (INVOICES.name, LINES.name, JOURNAL.name)
_NAMES: Final = tuple(kind.name for kind in ALL if kind.repeats)


def _names(value: Any) -> Any:
    return tuple(filter(None, (name.strip() for name in value.split(",")))) if isinstance(value, str) else value


class ExportSettings(BaseSettings):
    """Where the job ``export`` writes, and what. Without ``to`` there is no such job."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX + "BILLING_EXPORT_", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    to: Annotated[str, Field(description="a folder, such as /srv/finance, or s3://bucket/prefix/")] = ""
    kinds: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names), Field(min_length=1)] = _DEFAULT
    format: Format = Format.CSV
    endpoint: Annotated[str, Field(pattern=r"^(https?://[^/\s].*)?$", description="of S3 elsewhere than Amazon")] = ""
    region: str = ""
    access_key: Annotated[str, Field(description="by default as AWS_ACCESS_KEY_ID and so on say")] = ""
    secret_key: SecretStr | None = None

    @property
    def place(self) -> Place | None:
        """None: nothing is written anywhere."""
        return _place(self.to) if self.to else None

    @field_validator("to")
    @classmethod
    def _is_place(cls, to: str) -> str:
        if to:
            _place(to)
        return to

    @field_validator("kinds")
    @classmethod
    def _are_kinds(cls, kinds: tuple[str, ...]) -> tuple[str, ...]:
        if not {*kinds} <= {*_NAMES} or len({*kinds}) < len(kinds):
            raise ValueError(f"are of {', '.join(_NAMES)}, each once, with commas in between")
        return kinds

    @model_validator(mode="after")
    def _has_both_keys(self) -> Self:
        if bool(self.access_key) != bool(self.secret_key and self.secret_key.get_secret_value()):
            raise ValueError(
                "METERLINE_BILLING_EXPORT_ACCESS_KEY and METERLINE_BILLING_EXPORT_SECRET_KEY need each other"
            )
        return self


def _place(to: str) -> Place:
    if to.startswith("/"):
        return Folder(Path(to))
    try:
        parts = urlsplit(to)
    except ValueError:
        parts = urlsplit("")
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError("is a path or URL without user, query and fragment")
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
        return Folder(Path(unquote(parts.path)))
    if parts.scheme == "s3" and parts.netloc:
        prefix = unquote(parts.path).strip("/")
        return Bucket(parts.netloc, f"{prefix}/" if prefix else "")
    raise ValueError("is a folder from / on, such as /srv/finance, or s3://bucket/prefix/")
