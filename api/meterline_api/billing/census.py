"""How billing stands, for ``/metrics``: invoices, pushes to Stripe and runs of jobs, of the whole installation."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timedelta
from typing import Final

from meterline_api import metrics
from meterline_api.clickhouse import ClickHouse
from meterline_schemas.billing.push import PushState
from meterline_schemas.errors import UnavailableError

_KEPT: Final = 60.0  # seconds
_PATIENCE: Final = 2.0
_PUSHED: Final = timedelta(days=35)  # so far back Stripe takes days
_INVOICES: Final = "SELECT currency, kind, count() FROM invoices_raw FINAL GROUP BY currency, kind"
_PUSHES: Final = "SELECT state, count() FROM stripe_pushes_raw FINAL WHERE day >= {since:Date} GROUP BY state"
_RUNS: Final = (
    "SELECT job, state, count(), toUnixTimestamp(max(ifNull(ended_at, begun_at))), "
    "toUInt64OrZero(argMax(result['left_open'], due)) FROM billing_runs_raw FINAL GROUP BY job, state"
)


class BillingCensus:
    """Counts anew at most once a minute, whoever asks. Without ClickHouse the numbers stay as they were."""

    def __init__(self, tables: ClickHouse) -> None:
        self._tables = tables
        self._next = 0.0

    async def look(self, now: datetime) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _KEPT
        try:
            async with asyncio.timeout(_PATIENCE):
                for currency, kind, count in await self._tables.rows(_INVOICES, {}):
                    metrics.INVOICES.labels(currency, kind).set(count)
                await self._count_runs()
                await self._count_pushes(now)
        except (UnavailableError, TimeoutError):
            return

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
