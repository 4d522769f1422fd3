"""Where quotas are asked for: the catalog and the counters of this process together, and the events behind them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol

from meterline_api.catalog import Catalog
from meterline_api.door import Barrier
from meterline_api.quotas.check import Found, QuotaStatus, Refusal, check, refusals
from meterline_api.quotas.counters import Counters
from meterline_api.quotas.recount import EVERYTHING, SETTINGS, Scope, Span, build, read
from meterline_schemas.catalog import Action, Book, Metric, Threshold
from meterline_schemas.counter import SURELY_KNOWN, CounterKey, Parts
from meterline_schemas.errors import UnavailableError
from meterline_schemas.partitioning import partition_of

_KEPT_SECONDS: Final = 5.0
_MOST_KEPT: Final = 10_000
_PATIENCE: Final = 2.0  # seconds


class Tables(Protocol):
    async def rows(
        self, sql: str, parameters: Mapping[str, Any], settings: Mapping[str, str | int] | None = None
    ) -> Sequence[Sequence[Any]]: ...


class _Lacking(NamedTuple):
    """A counter that there is none of although more than nothing may have been used."""

    key: CounterKey
    end: datetime


class _InMemory:
    """The counters and, where there are none, what ``recent`` knows of the events."""

    def __init__(self, counters: Counters, recent: Callable[[CounterKey], Parts | None]) -> None:
        self._counters = counters
        self._recent = recent
        self.lacking: list[_Lacking] = []

    def find(self, key: CounterKey, end: datetime, changed_at: datetime | None) -> Found | None:
        counter = self._counters.find(key)
        if counter is not None:
            return Found(counter, counter.complete)
        # a tenant under a limit for all gets its counter with its next event; what it used before the limit was
        # made or changed is added to it then
        if changed_at is None or changed_at + SURELY_KNOWN <= key.start:
            return None
        parts = self._recent(key)
        if parts is None:
            self.lacking.append(_Lacking(key, end))
        return Found(parts or Parts(), complete=False)


class Desk:
    """Answers from memory; where a counter has not begun yet, from the events, kept for a few seconds.

    ``trouble`` says why the counters are not known yet, or nothing.
    """

    def __init__(
        self, catalog: Catalog, counters: Counters, tables: Tables, trouble: Callable[[], str] = lambda: ""
    ) -> None:
        self.trouble = trouble
        self._catalog = catalog
        self._counters = counters
        self._tables = tables
        self._blocks: tuple[Book, bool] = (Book(), False)  # whether any threshold of this book does
        self._read: dict[CounterKey, tuple[float, Parts]] = {}
        self._tables_rest_until = 0.0

    async def check(self, tenant_id: str, metric: Metric, subject: str, now: datetime) -> QuotaStatus:
        """What is left. Where ClickHouse would be needed and does not answer, what memory has."""
        book = self._catalog.book
        usage = _InMemory(self._counters, self._recent)
        answer = check(book, usage, tenant_id, metric, subject, now)
        if usage.lacking and await self._ask(usage.lacking):
            answer = check(book, _InMemory(self._counters, self._recent), tenant_id, metric, subject, now)
        return answer

    def barrier(self, now: datetime) -> Barrier | None:
        """Says why an event is refused, or nothing; each tenant, metric and subject is looked up once.

        None where no threshold blocks anything.
        """
        book = self._catalog.book
        if self._blocks[0] is not book:
            self._blocks = book, any(each.action is Action.BLOCK for each in book.all(Threshold))
        if not self._blocks[1]:
            return None
        usage = _InMemory(self._counters, self._recent)
        said: dict[tuple[str, str, str], list[Refusal]] = {}

        def refused(tenant_id: str, metric_key: str, subject: str, timestamp: datetime) -> str:
            scope = (tenant_id, metric_key, subject)
            found = said.get(scope)
            if found is None:
                metric = book.metrics.get(metric_key)
                found = [] if metric is None else list(refusals(book, usage, tenant_id, metric, subject, now))
                said[scope] = found
            return next((each.detail for each in found if each.start <= timestamp < each.end), "")

        return refused

    def _recent(self, key: CounterKey) -> Parts | None:
        at, parts = self._read.get(key, (0.0, None))
        return parts if time.monotonic() - at < _KEPT_SECONDS else None

    async def _ask(self, lacking: Sequence[_Lacking]) -> bool:
        """Read what is lacking from the events; False where ClickHouse does not answer, which then has a rest."""
        if time.monotonic() < self._tables_rest_until:
            return False
        try:
            async with asyncio.timeout(_PATIENCE):
                for key, end in lacking:
                    await self._count(key, end)
        except (UnavailableError, TimeoutError):
            self._tables_rest_until = time.monotonic() + _KEPT_SECONDS
            return False
        return True

    async def _count(self, key: CounterKey, end: datetime) -> None:
        home = partition_of(key.tenant_id, self._counters.partitions)
        span = Span(home, key.metric, key.start, end, self._catalog.book.is_gauge(key.metric))
        sql, parameters = build(span, [Scope(key.tenant_id, key.subject, EVERYTHING)])
        (parts,) = read(await self._tables.rows(sql, parameters, SETTINGS), 1)
        if len(self._read) >= _MOST_KEPT:
            self._read.clear()
        self._read[key] = (time.monotonic(), parts)
