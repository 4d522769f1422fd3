"""How billing stands, for ``/metrics``: invoices, pushes to Stripe and runs of jobs, of the whole installation."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from meterline_api import metrics
from meterline_api.census import Counting
from meterline_schemas.billing.push import PushState

_PUSHED: Final = timedelta(days=35)  # so far back Stripe takes days
_INVOICES: Final = "SELECT currency, kind, count() FROM invoices_raw FINAL GROUP BY currency, kind"
_PUSHES: Final = "SELECT state, count() FROM stripe_pushes_raw FINAL WHERE day >= {since:Date} GROUP BY state"
_RUNS: Final = (
    "SELECT job, state, count(), toUnixTimestamp(max(ifNull(ended_at, begun_at))), "
    "toUInt64OrZero(argMax(result['left_open'], due)) FROM billing_runs_raw FINAL GROUP BY job, state"
)


class BillingCensus(Counting):
    async def _count(self, now: datetime) -> None:
        for currency, kind, count in await self._tables.rows(_INVOICES, {}):
            metrics.INVOICES.labels(currency, kind).set(count)
        await self._count_runs()
        await self._count_pushes(now)

    async def _count_runs(self) -> None:
        for job, state, count, ended, left_open in await self._tables.rows(_RUNS, {}):
            metrics.RUNS.labels(job, state).set(count)
            if state == "done":
                metrics.RUN_LAST.labels(job).set(ended)
                if job == "close":
                    metrics.LEFT_OPEN.set(left_open)

    async def _count_pushes(self, now: datetime) -> None:
        rows = await self._tables.rows(_PUSHES, {"since": (now - _PUSHED).date()})
        counts = {str(state): int(count) for state, count in rows}
        for state in PushState:
            metrics.PUSHES.labels("open" if state is PushState.INTENT else state).set(counts.get(state, 0))
