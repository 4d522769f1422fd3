"""Which periods are to be closed: of every tenant the first one that has ended and is not, then those that follow.

Very many tenants wait here by their ids alone: what a period is made of is worked out when its turn comes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from meterline_api.billing.invoices.document import Interval
from meterline_api.billing.invoices.periods import Due, ended, invoiced, plans_of, tenant_of
from meterline_api.billing.invoices.quantities import in_requests
from meterline_api.billing.pricing.errors import PricingError
from meterline_schemas.billing.closing import Closing
from meterline_schemas.catalog import Book, TenantPlan


class Dues:
    """Periods that ended by ``now``. ``problems`` gets a sentence for each tenant whose plan says no period.

    For one thread at a time.
    """

    def __init__(self, book: Book, closings: Mapping[str, Closing], now: datetime, problems: list[str]) -> None:
        self._book = book
        self._plans = plans_of(book)
        self._closings = closings
        self._now = now
        self._problems = problems
        self._since: dict[str, datetime] = {}  # of tenants whose first period was closed meanwhile
        self._waiting: dict[Interval, list[str]] = defaultdict(list)

    def find(self) -> int:
        """Look at every tenant that is, or was, on a plan; how many of them have a period to be closed."""
        for on in self._book.all(TenantPlan):
            self._look(on.tenant_id)
        return sum(map(len, self._waiting.values()))

    def chunks(self, most: int) -> Iterator[list[Due]]:
        """Until nothing waits: at most so many tenants at once, of one period each, in the order of their ids."""
        while self._waiting:
            interval = min(self._waiting)
            for ids in in_requests(sorted(self._waiting.pop(interval)), most):
                found = (self._next(id) for id in ids)
                chunk = [due for due in found if due is not None]
                if chunk:
                    yield chunk

    def closed(self, dues: Iterable[Due]) -> None:
        """Take up the next periods of their tenants, where those have ended too."""
        for due in dues:
            self._since[due.tenant.id] = due.until
            self._look(due.tenant.id)

    def _look(self, tenant_id: str) -> None:
        due = self._next(tenant_id)
        if due is not None:
            self._waiting[due.start, due.end].append(tenant_id)

    def _next(self, tenant_id: str) -> Due | None:
        tenant, closing = tenant_of(self._book, tenant_id), self._closings.get(tenant_id)
        since = self._since.get(tenant_id, closing.until if closing is not None else None)
        try:
            on = invoiced(tenant, self._book.tenant_plan(tenant_id))
            return next(ended(tenant, on, self._plans, since, self._now), None)
        except PricingError as error:
            self._problems.append(f"tenant {tenant_id!r} is not invoiced: {error}")
            return None
