"""The jobs of Stripe as plain functions: the daily push, the retry of what failed, and reconcile.

Days are those of UTC and end with yesterday: a day that goes on is pushed once it is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Final

from meterline_api.billing.jobs.context import Outcome
from meterline_api.billing.stripe.days import DayTotal
from meterline_api.billing.stripe.errors import StoppedError
from meterline_api.billing.stripe.plan import OLDEST
from meterline_api.billing.stripe.pusher import Told
from meterline_api.billing.stripe.reconcile import Compared
from meterline_api.billing.stripe.site import Site
from meterline_api.billing.stripe.terms import Terms
from meterline_api.billing.stripe.totals import Query, Wanted, day_totals
from meterline_schemas.catalog.book import Book
from meterline_schemas.catalog.stripe_meter import IncludedMode

MARGIN: Final = timedelta(hours=2)
"""By which a push looks back before the beginning of the last one: rows may be written with a time of their begin."""


async def push(
    site: Site, query: Query, book: Book, now: datetime, *, since: datetime | None = None, dry_run: bool = False
) -> Told:
    """Push every day that was used on, or changed, since ``since``: when the last push that ended well began.

    Without it every day is looked at that Stripe still takes, and more: what is too old is told. ``dry_run`` writes
    nothing and calls nobody.

    Raises:
        UnavailableError: Kafka or ClickHouse does not answer.
        LedgerError: the ledger cannot be read.
    """
    terms = Terms(book)
    start, end = now.date() - OLDEST - timedelta(days=2), now.date()
    totals = await asyncio.to_thread(_totals, query, terms, start, end, now, since)
    return await site.pusher.push(totals, terms, dry_run=dry_run)


async def retry(site: Site, book: Book, *, dry_run: bool = False) -> Told:
    """Settle what has no outcome, and send again what Stripe refused. Raises as ``push``."""
    return await site.pusher.retry(Terms(book), dry_run=dry_run)


async def reconcile(
    site: Site, query: Query, book: Book, now: datetime, *, days: int = 35, dry_run: bool = False
) -> Compared:
    """Compare Stripe, ledger and usage of the last ``days`` whole days. Raises as ``push``."""
    terms = Terms(book)
    start, end = now.date() - timedelta(days=days), now.date()
    totals = await asyncio.to_thread(_totals, query, terms, start, end, now, None)
    return await site.reconciler.reconcile(totals, terms, start, end, dry_run=dry_run)


def outcome_of(told: Told, *, dry_run: bool = False) -> Outcome:
    """What the run of a push or retry says: its numbers, and each problem in a sentence."""
    counts = {
        **{reason.value: count for reason, count in told.due.items()},
        **{name: getattr(told, name) for name in ("settled", "delivered", "refused", "open", "overtaken")},
        **{trouble.value: count for trouble, count in told.troubles.items()},
    }
    problems = [str(problem) for problem in told.problems]
    if told.open and not dry_run:
        problems.insert(0, f"Stripe did not answer for {told.open} days; the next push or retry settles them")
    if told.stopped is not None:
        problems.insert(0, str(StoppedError(told.stopped)))
    return Outcome({name: str(count) for name, count in counts.items()}, problems)


def compared_outcome(compared: Compared) -> Outcome:
    """What the run of a reconcile says."""
    counts = {"days": compared.days, "unknown": len(compared.unknown), "repeated": compared.repeated.delivered}
    counts |= {kind.value: count for kind, count in compared.kinds.items()}
    problems = [f"{each.kind}: {each}" for each in compared.differences]
    problems += [*compared.unknown, *outcome_of(compared.repeated).problems]
    return Outcome({name: str(count) for name, count in counts.items()}, problems)


def _totals(
    query: Query, terms: Terms, start: date, end: date, now: datetime, since: datetime | None
) -> Iterator[DayTotal]:
    counted, gauges = terms.metrics()
    if not counted and not gauges:
        return iter(())
    by_month = [meter.metric for meter in terms.meters.values() if meter.included is IncludedMode.OVERAGE_ONLY]
    wanted = Wanted(
        start=start.replace(day=1) if by_month else start,
        end=end,
        counted=counted,
        gauges=gauges,
        since=None if since is None else since - MARGIN,
        wholly=((), ()) if since is None else terms.remapped(since - MARGIN),
        by_month=by_month,
    )
    return terms.metered(day_totals(query, wanted, now))
