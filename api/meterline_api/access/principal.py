"""Who calls, and what they may. Pure.

A role is a set of rights; the tenants of a principal are whose data the rights reach. Both are needed for anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from meterline_schemas.roles import Role

ALL_TENANTS: Final = "*"
ROOT_ACTOR: Final = "root"


class Right(StrEnum):
    """What a route needs. ``MANAGE_FINANCE`` has the name that requirement document 1 gives it."""

    WRITE_EVENTS = "WRITE_EVENTS"
    CHECK_QUOTAS = "CHECK_QUOTAS"
    READ_CATALOG = "READ_CATALOG"
    READ_USAGE = "READ_USAGE"
    MANAGE_FINANCE = "FINANCE_MANAGE"
    ADMINISTER = "ADMINISTER"


_RIGHTS: Final[Mapping[Role, frozenset[Right]]] = {
    Role.PRODUCER: frozenset({Right.WRITE_EVENTS, Right.CHECK_QUOTAS, Right.READ_CATALOG}),
    Role.VIEWER: frozenset({Right.CHECK_QUOTAS, Right.READ_CATALOG, Right.READ_USAGE}),
    Role.FINANCE: frozenset({Right.CHECK_QUOTAS, Right.READ_CATALOG, Right.READ_USAGE, Right.MANAGE_FINANCE}),
    Role.ADMIN: frozenset(Right),
}


@dataclass(frozen=True)
class Principal:
    """Somebody who proved who they are. ``tenants`` are whose data they reach; None: everybody's.

    ``actor`` names them in the audit log: ``key:<id>``, ``token:<subject>`` or ``root``. It is never a secret.
    ``requests_per_second`` is a limit of their own.
    """

    actor: str
    role: Role
    tenants: frozenset[str] | None
    requests_per_second: int | None = None

    def may(self, right: Right) -> bool:
        return right in _RIGHTS[self.role]

    def sees(self, tenant_id: str) -> bool:
        """Whether a tenant's data may be reached. What is for all tenants (an empty id) only those who see all do."""
        return self.tenants is None or tenant_id in self.tenants

    @property
    def limited(self) -> bool:
        """Whether requests are counted: whoever holds the key of the settings could change the limits."""
        return self.actor != ROOT_ACTOR

    @property
    def only_tenant(self) -> str | None:
        """The tenant that this principal stands for, where it stands for exactly one."""
        return next(iter(self.tenants)) if self.tenants is not None and len(self.tenants) == 1 else None


def tenants_from(names: Iterable[str]) -> frozenset[str] | None:
    """The tenants of a principal from a list of ids, in which ``*`` stands for all."""
    found = frozenset(names)
    return None if ALL_TENANTS in found else found
