"""Invoices wired together: where usage is read, the ledger, and the job that closes what has ended."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime
from typing import Final

from meterline_api.billing.invoices.closer import Closer, Closings
from meterline_api.billing.invoices.ledger import InvoiceLedger
from meterline_api.billing.invoices.quantities import Cut
from meterline_api.billing.jobs.context import Outcome, RunContext
from meterline_api.billing.settings import InvoiceSettings
from meterline_api.catalog import Catalog
from meterline_api.clickhouse import ClickHouse
from meterline_api.watch import Watch
from meterline_schemas.audit.log import AuditLog, process_author
from meterline_schemas.errors import UnavailableError
from meterline_schemas.settings import ClickHouseSettings, KafkaSettings

log = logging.getLogger(__name__)

_TIMEOUT: Final = 300.0  # seconds of a query: nobody waits for it, and a chunk's month may have very many events
_COMPLETE: Final = "SELECT kafka_partition, complete_to_offset FROM usage_freshness ORDER BY kafka_partition"
_TOLD: Final = 1000  # problems of a run
_TELL_EVERY: Final = 10.0  # seconds, of how far a close has come


class Invoices:
    """Made once for each process."""

    def __init__(
        self,
        settings: InvoiceSettings,
        kafka: KafkaSettings,
        clickhouse: ClickHouseSettings,
        catalog: Catalog,
        watch: Watch,
        audit: AuditLog,
    ) -> None:
        self.settings = settings
        self.tables = ClickHouse(clickhouse, _TIMEOUT)
        self.ledger = InvoiceLedger(kafka, audit, settings.prefixes)
        self.closer = Closer(self.tables, self.ledger, lambda: catalog.book, self.cut, settings)
        self._watch = watch
        self._turn = asyncio.Lock()

    async def cut(self, seconds: float) -> Cut:
        """Where every partition is complete, once everything that is in ``usage.events`` now is.

        Raises:
            UnavailableError: Kafka or ClickHouse does not answer, or it is not within ``seconds``.
        """
        if not await asyncio.to_thread(self._watch.passed_on, seconds):
            raise UnavailableError(
                f"not all events are judged and in ClickHouse after {seconds:.0f} s; `meterline doctor` says what lags"
            )
        return tuple((int(partition), int(offset)) for partition, offset in await self.tables.rows(_COMPLETE, {}))

    async def close_job(self, context: RunContext) -> Outcome:
        """The job ``close``. Raises UnavailableError: it is tried again."""
        told_at = time.monotonic()

        async def progress(found: Closings) -> None:
            nonlocal told_at
            context.progress.update(outcome_of(found).result)
            await context.heartbeat()
            if time.monotonic() - told_at >= _TELL_EVERY:
                told_at = time.monotonic()
                log.info("%d of the periods of %d tenants closed", found.invoices + found.without, found.tenants)

        async with self._turn:
            done = await self.closer.close(datetime.now(UTC), process_author(), dry=context.dry_run, progress=progress)
        return outcome_of(done)

    def close(self) -> None:
        self.ledger.close()
        self.tables.close()


def outcome_of(done: Closings) -> Outcome:
    numbers = {
        "invoices": str(done.invoices),
        "closed_without": str(done.without),
        "adjustments": str(done.adjustments),
        "left_open": str(len(done.problems)),
    }
    return Outcome(numbers, tuple(done.problems[:_TOLD]))
