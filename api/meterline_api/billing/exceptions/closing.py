"""Periods that are past their grace and are not closed, and why. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final

from meterline_api.billing.exceptions.found import Found, Kind, said
from meterline_api.billing.invoices.periods import ended, invoiced, plans_of, tenant_of
from meterline_api.billing.pricing.errors import PricingError
from meterline_schemas.billing.closing import Closing
from meterline_schemas.billing.run import Run, RunState
from meterline_schemas.catalog import Book, TenantPlan

PATIENCE: Final = timedelta(hours=2)
"""A period may be past its grace for so long where nobody has tried to close it: the job comes once an hour."""
_MOST: Final = 100  # periods of a tenant
_ACTION: Final = "have it closed: `meterline billing run close --due now --wait`"


def exceptions(
    book: Book, closings: Mapping[str, Closing], runs: Collection[Run], now: datetime, grace: timedelta
) -> Iterator[Found]:
    """``runs`` are those of the job that closes."""
    tried = sorted((run for run in runs if run.state in (RunState.DONE, RunState.FAILED)), key=lambda run: run.due)
    last = tried[-1] if tried else None
    plans = plans_of(book)
    for on in book.all(TenantPlan):
        tenant = tenant_of(book, on.tenant_id)
        closing = closings.get(tenant.id)
        until = closing.until if closing is not None else None
        told = 0
        try:
            for due in ended(tenant, invoiced(tenant, on), plans, until, now - grace):
                over = due.end + grace
                is_tried = last is not None and last.due >= over
                if told < _MOST and (is_tried or now >= over + PATIENCE):
                    why = _why(tenant.id, last if is_tried else None, over, first=not told)
                    detail = f"tenant {tenant.id!r}: its period from {said(due.start)} to {said(due.end)} is not closed"
                    told += 1
                    yield Found(
                        Kind.NOT_CLOSED,
                        tenant.id,
                        f"{detail}: {why}",
                        _ACTION,
                        start=due.start,
                        end=due.end,
                        since=over,
                    )
        except PricingError as error:
            detail = f"tenant {tenant.id!r}: its periods cannot be closed: {error}"
            yield Found(Kind.NOT_CLOSED, tenant.id, detail, _ACTION, since=until)


def _why(tenant_id: str, last: Run | None, over: datetime, *, first: bool) -> str:
    if last is None:
        return (
            f"the job close was not done since {said(over)}, when its grace ended; `meterline billing runs` says more"
        )
    if last.state is RunState.FAILED:
        return f"the job close failed: {'; '.join(last.problems)}"
    mine = [
        problem for problem in last.problems if problem.startswith((f"tenant {tenant_id!r} ", f"tenant {tenant_id!r}:"))
    ]
    if mine:
        return "; ".join(mine)
    return "the last run of close left it open" if first else "the period before it is not closed"
