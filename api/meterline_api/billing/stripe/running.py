"""The jobs of Stripe wired: where usage is read, what the catalog says, and since when a push has to look."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Final

from meterline_api.billing.invoices.ledger import InvoiceLedger
from meterline_api.billing.jobs.context import JobFunction, Outcome, RunContext
from meterline_api.billing.stripe import jobs
from meterline_api.billing.stripe.client import Stripe
from meterline_api.billing.stripe.errors import StoppedError, StripeBusyError
from meterline_api.billing.stripe.objects import Dry, Patient
from meterline_api.billing.stripe.setting_up import Closed, SettingUp, answer_of
from meterline_api.billing.stripe.settings import StripeSettings
from meterline_api.billing.stripe.setup_models import SetupAnswer, SetupRequest
from meterline_api.billing.stripe.site import Site, opened
from meterline_api.billing.stripe.totals import Query
from meterline_api.catalog import Catalog
from meterline_api.editor import Editor
from meterline_api.watch import Watch
from meterline_schemas.audit.entry import Author
from meterline_schemas.audit.log import AuditLog
from meterline_schemas.billing.run import Job, Run, RunState
from meterline_schemas.catalog import Book, Entry
from meterline_schemas.settings import KafkaSettings

_PATIENCE: Final = 60.0  # seconds until everything sent is in ClickHouse
_BEHIND: Final = (
    f"not all events were judged and in ClickHouse after {_PATIENCE:.0f} s: days may have been pushed without the "
    "last of them, which the next push puts right; `meterline doctor` says what lags"
)

Runs = Callable[[], Mapping[Job, Mapping[datetime, Run]]]


class StripeJobs:
    """Made once for each process. ``runs`` reads billing's runs, ``query`` ClickHouse, both in the calling thread."""

    def __init__(
        self,
        settings: StripeSettings,
        kafka: KafkaSettings,
        catalog: Catalog,
        watch: Watch,
        audit: AuditLog,
        query: Query,
        runs: Runs,
    ) -> None:
        self.settings = settings
        self._kafka = kafka
        self._catalog = catalog
        self._watch = watch
        self._audit = audit
        self._query = query
        self._runs = runs
        self._turn = asyncio.Lock()

    def functions(self) -> Mapping[Job, JobFunction]:
        """Without a key none: these jobs are not on schedule then."""
        if not self.settings.configured:
            return {}
        return {Job.PUSH: self.push, Job.RETRY: self.retry, Job.RECONCILE: self.reconcile}

    async def push(self, run: RunContext) -> Outcome:
        """The job ``push``.

        Raises:
            StoppedError: not all days were looked at, so that the next run looks at all of this one's again.
            MeterlineError: of ``jobs.push``.
        """
        since = last_done(await asyncio.to_thread(self._runs))
        behind = [] if await asyncio.to_thread(self._watch.passed_on, _PATIENCE) else [_BEHIND]
        with self._site(run) as site:
            now, book = datetime.now(UTC), self._catalog.book
            told = await jobs.push(site, self._query, book, now, since=since, dry_run=run.dry_run)
        if told.stopped is not None:
            raise StoppedError(told.stopped)
        outcome = jobs.outcome_of(told, dry_run=run.dry_run)
        return Outcome(outcome.result, [*behind, *outcome.problems])

    async def retry(self, run: RunContext) -> Outcome:
        """The job ``retry``. Raises MeterlineError: it is tried again."""
        with self._site(run) as site:
            told = await jobs.retry(site, self._catalog.book, dry_run=run.dry_run)
        if told.stopped is not None:
            raise StoppedError(told.stopped)
        return jobs.outcome_of(told, dry_run=run.dry_run)

    async def reconcile(self, run: RunContext) -> Outcome:
        """The job ``reconcile``. Raises MeterlineError: it is tried again."""
        await asyncio.to_thread(self._watch.passed_on, _PATIENCE)
        with self._site(run) as site:
            now, book = datetime.now(UTC), self._catalog.book
            return jobs.compared_outcome(await jobs.reconcile(site, self._query, book, now, dry_run=run.dry_run))

    async def set_up(self, wish: SetupRequest, editor: Editor, author: Author, invoices: InvoiceLedger) -> SetupAnswer:
        """Set Stripe up by the catalog.

        Raises:
            ConfigurationError: there is no key of Stripe.
            StripeBusyError: this process is doing it.
            UnavailableError: Stripe or Kafka does not answer; what was made is found again.
        """
        stripe = Stripe(self.settings)
        if self._turn.locked():
            raise StripeBusyError
        async with self._turn:
            objects = (Dry if wish.dry_run else Patient)(stripe, self.settings)

            async def put(decide: Callable[[Book], Entry]) -> Entry:
                return await editor.put(decide, author)

            state = await asyncio.to_thread(invoices.state)
            closed = Closed(state.closed_until, invoices.closed_until)
            book, now = self._catalog.book, datetime.now(UTC)
            found = await SettingUp(book, wish, objects, None if wish.dry_run else put, closed, now).run()
        return answer_of(found, objects.made, dry_run=wish.dry_run)

    def _site(self, run: RunContext) -> AbstractContextManager[Site]:
        """One for each run: what a run that was given up still does in its threads is none of the next one's."""
        return opened(self.settings, self._kafka, self._audit, beat=run.heartbeat)


def last_done(runs: Mapping[Job, Mapping[datetime, Run]]) -> datetime | None:
    """When the last push that looked at everything began."""
    return max((run.begun_at for run in runs[Job.PUSH].values() if run.state is RunState.DONE), default=None)
