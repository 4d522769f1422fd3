"""The job of items wired: whose customer is whose, what went to meters, and what of it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, closing
from datetime import UTC, datetime, timedelta
from typing import Final

from meterline_api.billing.invoices.quantities import Tables
from meterline_api.billing.jobs.context import JobFunction, Outcome, RunContext
from meterline_api.billing.stripe.errors import StoppedError
from meterline_api.billing.stripe.items.reconcile import Compared
from meterline_api.billing.stripe.items.run import Told
from meterline_api.billing.stripe.items.site import ItemSite, opened
from meterline_api.billing.stripe.ledger import Ledger
from meterline_api.billing.stripe.settings import StripeSettings
from meterline_api.catalog import Catalog
from meterline_schemas.audit.log import AuditLog
from meterline_schemas.billing.invoice import Invoice, read_invoice
from meterline_schemas.billing.push import PushState
from meterline_schemas.billing.run import Job
from meterline_schemas.catalog.tenant import Tenant
from meterline_schemas.settings import KafkaSettings

_DAY: Final = timedelta(days=1)


class ItemJobs:
    """Made once for each process. ``tables`` has the documents; ``pushes`` is the comparison of what is pushed."""

    def __init__(
        self,
        settings: StripeSettings,
        kafka: KafkaSettings,
        catalog: Catalog,
        audit: AuditLog,
        tables: Tables,
        pushes: JobFunction,
    ) -> None:
        self._settings = settings
        self._kafka = kafka
        self._catalog = catalog
        self._audit = audit
        self._tables = tables
        self._pushes = pushes

    def functions(self) -> Mapping[Job, JobFunction]:
        """Without a key none: these jobs are not on schedule then."""
        if not self._settings.configured:
            return {}
        return {Job.ITEMS: self.items, Job.RECONCILE: self.reconcile}

    async def items(self, run: RunContext) -> Outcome:
        """The job ``items``.

        Raises:
            StoppedError: Stripe does not let us in, or does not answer: not all was tried.
            MeterlineError: of ``ItemRun.run``.
        """
        path = None if self._settings.ledger is None else str(self._settings.ledger)
        with self._site(run) as site, closing(Ledger(self._kafka, self._audit, path)) as pushes:
            await asyncio.to_thread(pushes.read if run.dry_run else pushes.catch_up)
            told = await site.items.run(self.customer, Pushed(pushes), dry_run=run.dry_run)
        if told.stopped is not None:
            raise StoppedError(told.stopped)
        return outcome_of(told)

    async def reconcile(self, run: RunContext) -> Outcome:
        """The job ``reconcile``: of what is pushed, then of items. Raises MeterlineError: it is tried again."""
        pushed = await self._pushes(run)
        with self._site(run) as site:
            found = compared_outcome(await site.reconciler.reconcile(self.documents))
        return Outcome({**pushed.result, **found.result}, [*pushed.problems, *found.problems])

    def customer(self, tenant_id: str) -> str | None:
        """Who a tenant is at Stripe; also where it is billed otherwise by now: its closed periods are not."""
        tenant = self._catalog.book.find(Tenant, tenant_id)
        return tenant.stripe_customer or None if tenant is not None else None

    async def documents(self, numbers: Sequence[str]) -> Mapping[str, Invoice]:
        """Raises UnavailableError: ClickHouse does not answer."""
        sql = "SELECT i.document FROM invoices AS i WHERE i.number IN {numbers:Array(String)}"
        rows = await self._tables.rows(sql, {"numbers": list(numbers)})
        return {found.number: found for found in (read_invoice(document) for (document,) in rows)}

    def _site(self, run: RunContext) -> AbstractContextManager[ItemSite]:
        return opened(self._settings, self._kafka, self._audit, beat=run.heartbeat)


class Pushed:
    """Whether a meter at Stripe has, or may have, some of a tenant's usage."""

    def __init__(self, pushes: Ledger) -> None:
        self._pushes = pushes

    def __call__(self, tenant_id: str, metric: str, start: datetime, end: datetime) -> bool:
        first, last = start.astimezone(UTC).date(), (end - timedelta(microseconds=1)).astimezone(UTC).date()
        days = [first + n * _DAY for n in range((last - first).days + 1)]
        found = self._pushes.index.of((tenant_id, metric, day) for day in days)
        return any(push.value and push.state is not PushState.REFUSED for push in found)


def outcome_of(told: Told) -> Outcome:
    """What the run says: its numbers, in Stripe's units of each currency, what a dry run lists, and each problem."""
    counts = {name: getattr(told, name) for name in ("documents", "delivered", "refused", "left", "open")}
    result = {name: str(count) for name, count in counts.items()}
    result |= {f"amount_{currency}": str(amount) for currency, amount in sorted(told.amounts.items())}
    for items, item in told.lines:
        customer = items.customer or f"the customer of tenant {items.tenant_id}"
        said = f"{item.amount} {items.currency} to {customer}: {item.description}"
        result[f"{items.number} line {item.line}"] = said
    return Outcome(result, told.problems)


def compared_outcome(compared: Compared) -> Outcome:
    """What a comparison says."""
    counts = {"items": compared.items, "items_unknown": len(compared.unknown)}
    counts |= {f"items_{kind.value}": count for kind, count in compared.kinds.items()}
    problems = [f"{each.kind}: {each}" for each in compared.differences] + compared.unknown
    return Outcome({name: str(count) for name, count in counts.items()}, problems)
