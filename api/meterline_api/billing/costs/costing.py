"""The job ``costs``: what each whole UTC day costs, for the days that changed.

1. for each tenant that is on plans, the days to look at: those of periods that are not closed, those that were never
   computed, and from the first hour on of which usage came since
2. what they cost, by the totals; a day that costs what is there already is left out, and one that costs nothing, but
   for the last of a period: it says that the period was computed
3. the others are written to ``billing.costs``, each in the place of the one before

It may be begun again at any time: what is there already is not written again.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from meterline_api.billing.costs.days import Interval, beginning, costs_of, intervals, midnight
from meterline_api.billing.costs.quantities import RunningOf, running
from meterline_api.billing.costs.store import Costs
from meterline_api.billing.invoices.periods import Due, plans_of, tenant_of, walk
from meterline_api.billing.invoices.quantities import in_requests
from meterline_api.billing.invoices.running import Invoices
from meterline_api.billing.jobs.context import Outcome, RunContext
from meterline_api.billing.pricing.errors import PricingError
from meterline_schemas import topics
from meterline_schemas.audit.log import AuditLog, Write
from meterline_schemas.billing.closing import Closing
from meterline_schemas.billing.cost import DayCost, DayCosts, encode, fingerprint
from meterline_schemas.catalog import Book, TenantPlan

_RECORDS: Final = 2000  # of a transaction
_PATIENCE: Final = 60.0  # seconds until everything sent is in ClickHouse
_TOLD: Final = 1000  # problems of a run
_DAY: Final = timedelta(days=1)
_INSTANT: Final = timedelta(microseconds=1)


@dataclass
class Done:
    """What a walk came to, in tenants and days."""

    tenants: int = 0
    written: int = 0
    unchanged: int = 0
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Task:
    """The days of a tenant from ``first`` on, and the periods that they lie in."""

    on: TenantPlan
    first: date
    dues: tuple[Due, ...]


class Costing:
    """``invoices`` say how far tenants are closed, and wait until everything is in ClickHouse."""

    def __init__(self, invoices: Invoices, audit: AuditLog, book: Callable[[], Book]) -> None:
        self.costs = Costs(invoices.tables)
        self._invoices = invoices
        self._audit = audit
        self._book = book

    async def job(self, context: RunContext) -> Outcome:
        """Days before that of ``context.due``. Raises UnavailableError: it is tried again."""
        done = Done()
        await self._invoices.cut(_PATIENCE)
        book, until = self._book(), midnight(context.due)
        closings = (await asyncio.to_thread(self._invoices.ledger.state)).closings
        for ids in in_requests(on.tenant_id for on in book.all(TenantPlan)):
            await context.heartbeat()
            chunk = [book.tenant_plan(id) for id in ids]
            computed_at = datetime.now(UTC)
            tasks = await self._tasks(chunk, book, closings, until, done.problems)
            records = await self._records(tasks, book, until, computed_at, done)
            for start in range(0, len(records), _RECORDS):
                part = records[start : start + _RECORDS]
                if not context.dry_run:
                    await context.heartbeat()
                    await asyncio.to_thread(self._write, part)
                done.written += len(part)
        numbers = {"tenants": done.tenants, "written": done.written, "unchanged": done.unchanged}
        return Outcome({name: str(number) for name, number in numbers.items()}, tuple(done.problems[:_TOLD]))

    async def _tasks(
        self,
        chunk: Sequence[TenantPlan],
        book: Book,
        closings: Mapping[str, Closing],
        until: datetime,
        problems: list[str],
    ) -> list[Task]:
        known = await self.costs.known([on.tenant_id for on in chunk])
        news = await self.costs.news(known)
        plans = plans_of(book)
        found = []
        for on in chunk:
            tenant = tenant_of(book, on.tenant_id)
            begun = next((span.start for span in on.spans if span.plan is not None), None)
            there = known.get(tenant.id)
            instants = [begun] if begun is not None else []
            if there is not None:
                closing = closings.get(tenant.id)
                day_after = datetime.combine(there.last + _DAY, time(), tzinfo=UTC)
                instants = [day_after, *([news[tenant.id]] if tenant.id in news else [])]
                instants += [closing.until] if closing is not None else [begun] if begun is not None else []
            if not instants or min(instants) >= until:
                continue
            try:
                since = beginning(tenant, on, plans, min(instants))
                found.append(Task(on, since.date(), tuple(walk(tenant, on, plans, since, until))))
            except PricingError as error:
                problems.append(f"tenant {tenant.id!r}: its days have no cost: {error}")
        return found

    async def _records(
        self, tasks: Sequence[Task], book: Book, until: datetime, computed_at: datetime, done: Done
    ) -> list[DayCosts]:
        """The days that are not there as they are to be."""
        if not tasks:
            return []
        used = await self._used(tasks, book, until)
        first = min(task.first for task in tasks)
        tenants = [task.on.tenant_id for task in tasks]
        there = await self.costs.fingerprints(tenants, first, until.date())
        days_there: dict[str, set[date]] = defaultdict(set)
        for tenant_id, day in there:
            days_there[tenant_id].add(day)

        def compute() -> list[DayCosts]:
            found: list[DayCosts] = []
            for task in tasks:
                tenant_id = task.on.tenant_id
                try:
                    by_day = _costs(task, used, book, until)
                except PricingError as error:
                    done.problems.append(f"tenant {tenant_id!r}: its days have no cost: {error}")
                    continue
                done.tenants += 1
                ends = {midnight(due.until - _INSTANT).date() for due in task.dues if due.until <= until}
                days = {*by_day, *ends, *days_there[tenant_id]}
                for day in sorted(each for each in days if each >= task.first):
                    lines = tuple(by_day.get(day, ()))
                    mark = fingerprint(lines)
                    if there.get((tenant_id, day), "" if day not in ends else None) == mark:
                        done.unchanged += 1
                    else:
                        found.append(DayCosts(tenant_id, day, lines, computed_at, mark))
            return found

        return await asyncio.to_thread(compute)

    async def _used(self, tasks: Sequence[Task], book: Book, until: datetime) -> dict[Interval, RunningOf]:
        tenants: dict[Interval, set[str]] = defaultdict(set)
        charged: dict[Interval, set[str]] = defaultdict(set)
        for task in tasks:
            for due in task.dues:
                for interval, segment in zip(intervals(due, until), due.segments, strict=False):
                    tenants[interval].add(task.on.tenant_id)
                    charged[interval] |= {charge.metric for charge in segment.version.charges}
        return {
            interval: await running(self._invoices.tables, book.metrics, charged[interval], sorted(ids), *interval)
            for interval, ids in tenants.items()
        }

    def _write(self, records: Sequence[DayCosts]) -> None:
        writes = [Write(topics.COSTS, 0, record.key, encode(record)) for record in records]
        self._audit.write(lambda: (writes, ()))


def _costs(task: Task, used: Mapping[Interval, RunningOf], book: Book, until: datetime) -> dict[date, list[DayCost]]:
    """Of each day from ``task.first`` on."""
    found: dict[date, list[DayCost]] = defaultdict(list)
    for due in task.dues:
        mine = {interval: used[interval].get(due.tenant.id, {}) for interval in intervals(due, until)}
        for day, lines in costs_of(due, mine, book.metrics, until).items():
            if day >= task.first:
                found[day] += lines
    return found
