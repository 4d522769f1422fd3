"""Passwords and the API key of an installation: made once, kept in its data folder for this user only."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final

import msgspec

from meterline_deploy.folders import write_private
from meterline_schemas.errors import ConfigurationError

FILE: Final = "credentials.json"


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    api_key: str
    clickhouse_password: str
    analyst_password: str

    def __repr__(self) -> str:
        return "Credentials(...)"


def credentials(data: Path) -> Credentials:
    """Those of this folder, the same from start to start.

    Raises:
        ConfigurationError: the file is there and cannot be read.
    """
    path = data / FILE
    if not path.exists():
        made = Credentials(
            api_key="mk_" + secrets.token_hex(24),
            clickhouse_password=secrets.token_hex(16),
            analyst_password=secrets.token_hex(16),
        )
        write_private(path, msgspec.json.format(msgspec.json.encode(made)).decode() + "\n")
    try:
        return msgspec.json.decode(path.read_bytes(), type=Credentials)
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigurationError(
            f"cannot read {path} ({error}): restore it, or delete it to have new passwords and a new API key made"
        ) from None
