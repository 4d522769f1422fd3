"""Webhooks: addresses that notifications are sent to, signed (Standard Webhooks)."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, ClassVar, Final
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from meterline_schemas.catalog.entry import ID_PATTERN, PATTERNS, SECRET_PATTERN, AnyCase, Entry, Label, TenantId
from meterline_schemas.notification import Type

SECRET_PREFIX: Final = "whsec_"
_SHORTEST, _LONGEST = 24, 64  # bytes, as Standard Webhooks has it


class Webhook(Entry):
    """``events`` names types of notifications; empty: all. With ``tenant_id`` only those of this tenant.

    ``secret`` is base64 after ``whsec_``, of 24 to 64 bytes, and never shown again.
    """

    kind: ClassVar = "webhook"

    id: Annotated[str, Field(min_length=1, max_length=64, pattern=ID_PATTERN)]
    url: Annotated[str, Field(max_length=2000)]
    secret: Annotated[str, Field(pattern=SECRET_PATTERN, repr=False)]
    events: Annotated[tuple[Annotated[Type, AnyCase], ...], Field(max_length=50)] = ()
    tenant_id: TenantId = ""
    description: Label = ""
    enabled: bool = True

    @field_validator("url")
    @classmethod
    def _is_http(cls, url: str) -> str:
        if not url.isascii():
            raise ValueError("has letters outside of ASCII: write the host as punycode and the path percent-encoded")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise ValueError(f"is no address: {error}; write one such as https://example.com:8443/hooks") from None
        if parts.scheme not in ("http", "https") or not parts.hostname or not url.isprintable() or " " in url:
            raise ValueError("must be an http or https address, such as https://example.com/hooks/meterline")
        if port == 0:
            raise ValueError("is no address: ports are 1 to 65535")
        if parts.username is not None or parts.password is not None:
            raise ValueError("must not hold a user or password: the signature shows who calls")
        return url

    @field_validator("secret")
    @classmethod
    def _is_usable(cls, secret: str) -> str:
        try:
            size = len(base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True))
        except binascii.Error:
            raise ValueError(PATTERNS[SECRET_PATTERN]) from None
        if not _SHORTEST <= size <= _LONGEST:
            raise ValueError(f"holds {size} bytes; it {PATTERNS[SECRET_PATTERN]}")
        return secret

    @property
    def identity(self) -> str:
        return self.id
