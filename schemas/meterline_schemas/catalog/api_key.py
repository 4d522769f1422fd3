"""API keys: who may call the API, as what, for whom and until when. Of a key itself only a hash is kept."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import AwareDatetime, Field, field_validator

from meterline_schemas.catalog.entry import AnyCase, Entry, Label
from meterline_schemas.event import MAX_ID
from meterline_schemas.roles import Role

MAX_TENANT_BYTES = 256 * 1024  # a record that tells of a change holds them twice
KEY_ID_PATTERN = r"^[a-z0-9]{4,32}$"


class ApiKey(Entry):
    """``tenants`` are whose data the key reaches, ``*`` stands for all. ``hash`` is an HMAC-SHA256 in hexadecimal.

    A key that was revoked stays listed. ``requests_per_second`` is its own limit in each API process.
    """

    kind: ClassVar = "key"

    id: Annotated[str, Field(pattern=KEY_ID_PATTERN)]
    name: Label = ""
    role: Annotated[Role, AnyCase]
    tenants: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=MAX_ID)]], Field(min_length=1, max_length=1000)
    ]
    expires_at: AwareDatetime | None = None
    revoked_at: AwareDatetime | None = None
    created_by: Label = ""
    requests_per_second: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    hash: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", repr=False)]

    @field_validator("tenants")
    @classmethod
    def _all_or_some(cls, tenants: list[str]) -> list[str]:
        if "*" in tenants and len(tenants) > 1:
            raise ValueError('is ["*"] for all tenants, or the tenants; not both')
        if sum(len(name.encode()) for name in tenants) > MAX_TENANT_BYTES:
            raise ValueError(f"are more than {MAX_TENANT_BYTES} bytes together; make several keys")
        return sorted(set(tenants))

    @property
    def identity(self) -> str:
        return self.id
