"""Pydantic models of keys and callers as they go over HTTP."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from meterline_api.access.principal import ALL_TENANTS, Principal, Right
from meterline_schemas.catalog import ApiKey
from meterline_schemas.catalog.entry import AnyCase, Label
from meterline_schemas.event import MAX_ID
from meterline_schemas.roles import Role

TenantList = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=MAX_ID)]],
    Field(min_length=1, max_length=1000, description='Whose data it reaches; `["*"]`: everybody\'s.'),
]


class NewKey(BaseModel):
    """A key to be made."""

    model_config = ConfigDict(extra="forbid")

    name: Label = Field("", description="For people.")
    role: Annotated[Role, AnyCase]
    tenants: TenantList
    expires_at: AwareDatetime | None = Field(None, description="From then on it is refused.")
    requests_per_second: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        None, description="A limit of its own, in each API process, in the place of METERLINE_API_CALLER_LIMIT."
    )


class KeyAnswer(BaseModel):
    """A key without its secret."""

    id: str
    name: str
    role: Role
    tenants: list[str]
    expires_at: AwareDatetime | None
    revoked_at: AwareDatetime | None
    created_by: str = Field(description="Who made it, as the audit log names them.")
    requests_per_second: int | None
    version: int
    changed_at: AwareDatetime | None

    @classmethod
    def of(cls, key: ApiKey) -> Self:
        return cls(**key.model_dump(include=set(cls.model_fields)))


class NewKeyAnswer(KeyAnswer):
    """A key as it was made: the only answer that shows it."""

    key: str = Field(description="Send it as `Authorization: Bearer <key>`. It is not shown again.")


class CallerAnswer(BaseModel):
    """Who calls, and what they may."""

    actor: str
    role: Role
    tenants: list[str] = Field(description='`["*"]`: all.')
    rights: list[Right]

    @classmethod
    def of(cls, principal: Principal) -> Self:
        tenants = [ALL_TENANTS] if principal.tenants is None else sorted(principal.tenants)
        rights = [right for right in Right if principal.may(right)]
        return cls(actor=principal.actor, role=principal.role, tenants=tenants, rights=rights)
