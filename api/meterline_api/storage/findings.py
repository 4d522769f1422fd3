"""What a look at the storage gives for each tenant, and who looks. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Stored:
    """So much a tenant stores, 0 included."""

    tenant_id: str
    bytes: int


@dataclass(frozen=True)
class Unmeasured:
    """A tenant whose storage could not be measured: nothing is known of it, which is not 0."""

    tenant_id: str
    why: str


@dataclass(frozen=True)
class Passed:
    """A tenant that has a place there, and was not asked about."""

    tenant_id: str


Finding = Stored | Unmeasured | Passed


class Provider(Protocol):
    """A storage that has the data of tenants apart. ``measure`` may be called by several threads at once."""

    def measure(self, only: Collection[str] | None = None) -> Iterator[Finding]:
        """One finding for each tenant that has a place there. It may take long, and blocks meanwhile.

        ``only`` are the tenants that are asked about; None: all.

        Raises:
            UnavailableError: it cannot even be told which tenants there are.
        """
        ...
