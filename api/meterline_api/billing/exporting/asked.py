"""What a pull is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from meterline_api.billing.accruals.reading import AccrualReader
from meterline_api.billing.exceptions.looking import Exceptions
from meterline_api.billing.exporting.accounts import AccountSettings
from meterline_api.billing.exporting.as_of import AsOf
from meterline_api.clickhouse import ClickHouse


@dataclass(frozen=True)
class Asked:
    """Rows of these tenants (None: everybody's) whose period starts in ``[start, end)``, as they were at ``as_of``.

    ``fixed``: that moment was asked for. ``since``: only what changed after it. ``after`` is the offset that a page
    begins behind, ``limit`` how many records of the ledger it has.
    """

    as_of: AsOf
    tenants: tuple[str, ...] | None = None
    start: datetime | None = None
    end: datetime | None = None
    currency: str | None = None
    status: str | None = None
    since: AsOf | None = None
    after: int = -1
    limit: int | None = None
    fixed: bool = True

    @property
    def filters(self) -> Mapping[str, str]:
        """What was asked for besides the tenants, as text."""
        named = {"currency": self.currency, "status": self.status, "from": self.start, "to": self.end}
        return {name: str(value) for name, value in named.items() if value is not None}


@dataclass(frozen=True)
class Sources:
    """Where the rows of all kinds come from."""

    tables: ClickHouse
    accounts: AccountSettings
    accruals: AccrualReader
    exceptions: Exceptions
