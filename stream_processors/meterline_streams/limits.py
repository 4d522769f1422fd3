"""What is limited, for whom: the catalog's quotas and thresholds as the stream holds usage against them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final, Literal, NamedTuple

from meterline_schemas.catalog import Aggregation, Book, Quota, Tenant, Threshold
from meterline_schemas.catalog.book import Scope, counts_in_stream
from meterline_schemas.counter import SURELY_KNOWN
from meterline_schemas.partitioning import partition_of
from meterline_schemas.periods import FIRST, Calendar, Period
from meterline_schemas.quantity import DECIMALS, NANO

_RISING: Final = {Aggregation.COUNT, Aggregation.MAX}


class Step(NamedTuple):
    """A step of a threshold: reached from ``level`` on. ``key`` is (threshold, percent); ``percent`` is of ``limit``.

    Level and limit are in nano-units, ``limit_text`` is the limit as a plain decimal.
    """

    key: tuple[str, str]
    level: int
    limit: int
    limit_text: str
    threshold: Threshold


@dataclass(frozen=True)
class Watch:
    """One calendar in which a scope's usage is counted, and the steps that it is held against.

    ``known_since``: a period that begins later was counted from its beginning. ``only_rises``: a part of the usage is
    never more than all of it.
    """

    calendar: Calendar
    name: str  # of the calendar
    aggregation: Aggregation
    steps: tuple[Step, ...]
    keys: frozenset[tuple[str, str]]  # of the steps
    quota: Quota | None
    known_since: datetime
    only_rises: bool
    of_hours: bool  # whether its periods are of whole UTC hours


class Limits:
    """All limits of a catalog. Made once for each change of it, and shared by the partitions of a worker."""

    def __init__(self, book: Book, partitions: int) -> None:
        self._book = book
        self.own: set[tuple[str, str]] = set()  # tenants with limits of their own, and the metric
        self._subjects: dict[tuple[str, str], set[str]] = {}
        self._scopes: dict[int, set[Scope]] = {}
        self._for_all: dict[str, tuple[Watch, ...]] = {}
        entries: list[Quota | Threshold] = [*book.all(Quota), *book.all(Threshold)]
        entries = [entry for entry in entries if entry.metric in book.metrics]
        entries = [entry for entry in entries if counts_in_stream(book.metrics[entry.metric].aggregation)]
        self.metrics = frozenset(entry.metric for entry in entries)
        self.metrics_for_all = frozenset(entry.metric for entry in entries if not entry.tenant_id)
        self.metrics_by_event = self._by_event(entries)
        homes: dict[str, int] = {}
        for entry in entries:
            tenant, metric, subject = entry.scope
            if not tenant:
                continue
            if tenant not in homes:
                homes[tenant] = partition_of(tenant, partitions)
            self._scopes.setdefault(homes[tenant], set()).add(entry.scope)
            if subject:
                self._subjects.setdefault((tenant, metric), set()).add(subject)
            else:
                self.own.add((tenant, metric))

    def _by_event(self, entries: list[Quota | Threshold]) -> frozenset[str]:
        """The metrics whose hours do not say all: of subjects, or where periods begin within an hour."""
        zones = {tenant.time_zone for tenant in self._book.all(Tenant)}
        if not all(Calendar(Period.DAILY, zone).of_hours for zone in zones):
            return self.metrics
        return frozenset(
            entry.metric
            for entry in entries
            if entry.subject or not Calendar(Period.DAILY, entry.time_zone or "UTC").of_hours
        )

    def reason(self, threshold_id: str) -> Literal["period_changed", "threshold_deleted"]:
        """Why a counter ends before its period: its threshold is held against another calendar, or is no more."""
        return "threshold_deleted" if self._book.find(Threshold, threshold_id) is None else "period_changed"

    def scopes(self, partition: int) -> Iterator[Scope]:
        """The tenants and subjects of a partition that have limits of their own."""
        return iter(self._scopes.get(partition, ()))

    def subjects(self, tenant: str, metric: str) -> set[str]:
        """The subjects of a tenant that have limits of their own."""
        return self._subjects.get((tenant, metric), set())

    def watches(self, scope: Scope) -> tuple[Watch, ...]:
        """How a scope is watched; nothing where nothing limits it."""
        tenant, metric, subject = scope
        if subject or (tenant, metric) in self.own or self._book.tenant(tenant).id == tenant:
            return self._watches(scope)
        found = self._for_all.get(metric)
        if found is None:
            found = self._for_all[metric] = self._watches(("", metric, ""))
        return found

    def nothing(self, metric: str, calendar: str) -> Watch:
        """What is left of a watch that ended: it has no steps."""
        found = self._book.metrics.get(metric)
        aggregation = found.aggregation if found is not None else Aggregation.SUM
        return Watch(
            Calendar(Period.NEVER), calendar, aggregation, (), frozenset(), None, FIRST, only_rises=False, of_hours=True
        )

    def _watches(self, scope: Scope) -> tuple[Watch, ...]:
        tenant, name, _subject = scope
        book = self._book
        metric = book.metrics.get(name)
        if metric is None or name not in self.metrics:
            return ()
        quota, thresholds = book.quota(*scope), book.thresholds(*scope)
        steps: dict[Calendar, list[Step]] = {}
        if quota is not None:
            steps[book.calendar(quota, tenant)] = []
        for threshold in thresholds:
            limit = threshold.amount if threshold.amount is not None else quota.included if quota is not None else None
            if limit is not None:
                steps.setdefault(book.calendar(threshold, tenant), []).extend(_steps(threshold, limit))
        said = [entry.changed_at for entry in (quota, *thresholds, metric, book.tenant(tenant)) if entry is not None]
        changed = max((at for at in said if at is not None), default=FIRST)
        only_rises = metric.aggregation in _RISING or (
            metric.aggregation is Aggregation.SUM and not metric.allow_negative
        )
        return tuple(
            Watch(
                calendar,
                str(calendar),
                metric.aggregation,
                tuple(found),
                frozenset(step.key for step in found),
                quota if quota is not None and calendar == book.calendar(quota, tenant) else None,
                changed + SURELY_KNOWN,
                only_rises,
                calendar.of_hours,
            )
            for calendar, found in steps.items()
        )


def _steps(threshold: Threshold, limit: Decimal) -> Iterator[Step]:
    whole, text = nano(limit), format(limit, "f")
    for percent in threshold.steps:
        level = -(-whole * nano(percent) // (100 * NANO))
        # of a limit of 0 any usage is too much
        yield Step((threshold.id, format(percent, "f")), max(level, 1), whole, text, threshold)


def nano(amount: Decimal) -> int:
    """Nano-units of an amount of the catalog."""
    return int(amount.scaleb(DECIMALS))
