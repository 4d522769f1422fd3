"""How far a run has come, told while it goes on."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta

from meterline_api.billing.jobs.context import Outcome
from meterline_api.billing.jobs.due import Patience
from meterline_api.billing.jobs.ledger import RunLedger
from meterline_schemas.audit.log import AuditLog
from meterline_schemas.billing.run import Job, RunState
from meterline_schemas.settings import KafkaSettings

DUE = datetime(2026, 11, 22, 10, tzinfo=UTC)


def test_a_run_shows_its_numbers_with_each_heartbeat_and_as_soon_as_it_is_begun(place: tuple[str, str]) -> None:
    kafka, prefix = place
    settings = KafkaSettings(kafka=kafka, topic_prefix=prefix)
    patience = Patience(timedelta(minutes=1), timedelta(minutes=10))
    with closing(AuditLog(settings)) as log, closing(RunLedger(settings, log, patience)) as ledger:
        run = ledger.claim(Job.CLOSE, DUE, "here")
        assert ledger.read()[Job.CLOSE][DUE] == run
        for progress in ({"invoices": "1000"}, {"invoices": "2000", "left_open": "1"}):
            assert ledger.beat(run, progress)
            found = ledger.read()[Job.CLOSE][DUE]
            assert (found.state, found.result) == (RunState.RUNNING, progress)
        assert ledger.finish(run, Outcome({"invoices": "2500"}))
        assert ledger.read()[Job.CLOSE][DUE].result == {"invoices": "2500"}
