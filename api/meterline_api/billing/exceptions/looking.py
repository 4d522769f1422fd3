"""What the list of exceptions is decided on: the catalog, usage, and the ledgers, read when it is asked for."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any, Final

from meterline_api.billing.exceptions import closing, payments, pushes, setup, usage
from meterline_api.billing.exceptions.found import Found, Kind
from meterline_api.billing.exceptions.payments import FAILED, Unpaid
from meterline_api.billing.exceptions.usage import Seen, Suspect, Used
from meterline_api.billing.invoices.quantities import in_requests
from meterline_api.billing.invoices.running import Invoices
from meterline_api.billing.stripe.days import beyond_included
from meterline_api.billing.stripe.ledger import Ledger
from meterline_api.billing.stripe.plan import NEARLY, OLDEST, Problem, due
from meterline_api.billing.stripe.settings import StripeSettings
from meterline_api.billing.stripe.terms import Terms
from meterline_api.billing.stripe.totals import Wanted, day_totals
from meterline_api.storage.thread import in_thread
from meterline_api.usage.query import Numbers, UsageQuery
from meterline_api.usage.statement import build
from meterline_schemas.audit.log import AuditLog
from meterline_schemas.billing.invoice import PaymentState
from meterline_schemas.billing.push import Push, PushState
from meterline_schemas.billing.run import Job, Run
from meterline_schemas.catalog import Aggregation, Book, IncludedMode
from meterline_schemas.settings import KafkaSettings

_ROWS: Final = 50_000_000
_CHUNK: Final = 5000  # days that are looked up in the ledger together
_OF_USAGE: Final = (Kind.UNPRICED_USAGE, Kind.NO_PLAN, Kind.UNKNOWN_TENANT)
_OF_SETUP: Final = (Kind.NO_CUSTOMER, Kind.NO_METER)
_OF_PUSHES: Final = (Kind.PUSH_REFUSED, Kind.PUSH_NEARLY_TOO_OLD, Kind.PUSH_TOO_OLD)
_UNPAID: Final = (
    "SELECT p.reference, p.tenant_id, p.numbers, p.state, toUnixTimestamp64Milli(p.at), p.detail, p.currency, "
    "toString(p.amount_due - p.amount_paid) FROM payments AS p FINAL WHERE p.state IN {states:Array(String)}"
)

Runs = Callable[[], Mapping[Job, Mapping[datetime, Run]]]


def usual_start(now: datetime) -> datetime:
    """From when on usage is looked at: the month before this one."""
    month = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (month - timedelta(days=1)).replace(day=1)


class Exceptions:
    """Made once for each process. Each raises UnavailableError: ClickHouse or Kafka does not answer."""

    def __init__(
        self,
        invoices: Invoices,
        book: Callable[[], Book],
        runs: Runs,
        stripe: StripeSettings,
        kafka: KafkaSettings,
        audit: AuditLog,
    ) -> None:
        self._invoices = invoices
        self._book = book
        self._runs = runs
        self._path = None if stripe.ledger is None else str(stripe.ledger)
        self._kafka = kafka
        self._audit = audit
        self._ledger: Ledger | None = None
        self._lock = threading.Lock()

    async def all(
        self, kinds: Collection[Kind], tenants: Sequence[str] | None, now: datetime, since: datetime | None = None
    ) -> list[Found]:
        """Those of ``kinds`` and of ``tenants`` (None: of all) as they are at ``now``; usage from ``since`` on."""
        book = self._book()
        found: list[Found] = []
        if {*kinds} & {*_OF_USAGE}:
            until = now.replace(microsecond=0)
            found += await self._of_usage(book, tenants, since or usual_start(now), until)
        if {*kinds} & {*_OF_SETUP}:
            found += setup.exceptions(book, now)
        if {*kinds} & {*_OF_PUSHES}:
            found += await in_thread(lambda: list(self._of_pushes(book, now)))
        if Kind.NOT_CLOSED in kinds:
            state = await asyncio.to_thread(self._invoices.ledger.state)
            runs = (await asyncio.to_thread(self._runs))[Job.CLOSE].values()
            found += closing.exceptions(book, state.closings, runs, now, self._invoices.settings.grace)
        if Kind.PAYMENT_FAILED in kinds:
            found += payments.exceptions(await self._unpaid())
        chosen = None if tenants is None else {*tenants}
        return [each for each in found if each.kind in kinds and (chosen is None or each.tenant_id in chosen)]

    def close(self) -> None:
        with self._lock:
            if self._ledger is not None:
                self._ledger.close()
                self._ledger = None

    async def _of_usage(
        self, book: Book, tenants: Sequence[str] | None, since: datetime, until: datetime
    ) -> list[Found]:
        suspects = list(usage.suspects(book, await self._seen(tenants, since, until), since, until))
        by_interval: dict[tuple[datetime, datetime], set[str]] = defaultdict(set)
        for suspect in suspects:
            by_interval[suspect.start, suspect.end].add(suspect.tenant_id)
        used: dict[tuple[str, str, datetime, datetime], Used] = {}
        for (start, end), ids in by_interval.items():
            for chunk in in_requests(sorted(ids)):
                for id, metric, each in await self._used(book, chunk, start, end):
                    used[id, metric, start, end] = each
        nothing = Used(0, Decimal(0))

        def of(suspect: Suspect) -> Used:
            return used.get((suspect.tenant_id, suspect.metric, suspect.start, suspect.end), nothing)

        return list(usage.exceptions({suspect: of(suspect) for suspect in suspects}))

    async def _seen(self, tenants: Sequence[str] | None, since: datetime, until: datetime) -> list[Seen]:
        where = "u.hour >= toDateTime({since:UInt32}, 'UTC') AND u.hour < toDateTime({until:UInt32}, 'UTC')"
        parameters: dict[str, Any] = {"since": int(since.timestamp()), "until": int(until.timestamp())}
        if tenants is not None:
            where += " AND u.tenant_id IN {tenants:Array(String)}"
            parameters["tenants"] = list(tenants)
        sql = (
            "SELECT u.tenant_id, u.metric, toUnixTimestamp(min(u.hour)), toUnixTimestamp(max(u.hour)) "
            f"FROM usage_parts AS u WHERE {where} GROUP BY u.tenant_id, u.metric ORDER BY u.tenant_id, u.metric"
        )
        return [
            Seen(str(id), str(metric), datetime.fromtimestamp(first, UTC), datetime.fromtimestamp(last, UTC))
            for id, metric, first, last in await self._invoices.tables.rows(sql, parameters)
        ]

    async def _used(
        self, book: Book, tenants: Sequence[str], start: datetime, end: datetime
    ) -> list[tuple[str, str, Used]]:
        query = UsageQuery(start, end, None, tuple(tenants), group_by=("tenant_id",), limit=_ROWS)
        sql, parameters = build(query, book.metrics, end)
        found = []
        for _window, metric, tenant_id, *columns in await self._invoices.tables.rows(sql, parameters):
            known = book.metrics.get(metric)
            numbers = Numbers(*columns)
            value = numbers.value(known.aggregation if known is not None else Aggregation.SUM)
            found.append((str(tenant_id), str(metric), Used(int(numbers.count), Decimal(value))))
        return found

    def _of_pushes(self, book: Book, now: datetime) -> Iterator[Found]:
        with self._lock:
            if self._ledger is None:
                self._ledger = Ledger(self._kafka, self._audit, self._path)
            self._ledger.read()
            unsettled = [push for state in (PushState.INTENT, PushState.REFUSED) for push in self._without(state)]
            problems = list(self._problems(self._ledger, book, now))
        return pushes.exceptions(unsettled, problems, now)

    def _without(self, state: PushState) -> Iterator[Push]:
        assert self._ledger is not None  # noqa: S101
        last: Push | None = None
        while found := self._ledger.index.unsettled(state, last):
            yield from found
            last = found[-1]

    def _problems(self, ledger: Ledger, book: Book, now: datetime) -> Iterator[Problem]:
        """What a push would tell of the days that are nearly, or just, too old."""
        terms = Terms(book)
        counted, gauges = terms.metrics()
        if not terms.customers or not (counted or gauges):
            return
        start, end = (now - OLDEST).date() - timedelta(days=2), (now - NEARLY).date() + timedelta(days=1)
        by_month = [meter.metric for meter in terms.meters.values() if meter.included is IncludedMode.OVERAGE_ONLY]
        wanted = Wanted(start.replace(day=1) if by_month else start, end, counted, gauges)
        totals = terms.metered(day_totals(self._invoices.tables.rows_now, wanted, now))
        pushed = (total for total in beyond_included(totals, terms.meters, terms.included) if total.day >= start)
        while chunk := list(islice(pushed, _CHUNK)):
            rows = ledger.index.of(total[:3] for total in chunk)
            steps = due(chunk, rows, terms.meters, terms.customer, now)
            yield from (step for step in steps if isinstance(step, Problem))

    async def _unpaid(self) -> list[Unpaid]:
        rows: Iterable[Sequence[Any]] = await self._invoices.tables.rows(_UNPAID, {"states": list(FAILED)})
        return [
            Unpaid(
                str(reference),
                str(tenant_id),
                tuple(str(number) for number in numbers),
                PaymentState(state),
                datetime.fromtimestamp(int(at) / 1000, UTC),
                str(detail),
                str(currency),
                Decimal(owed),
            )
            for reference, tenant_id, numbers, state, at, detail, currency, owed in rows
        ]
