"""Two real processes with one schedule: what one begins and does not end, the other ends; nothing is done twice."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from meterline_api.billing.jobs.due import Patience
from meterline_api.billing.jobs.ledger import RunLedger
from meterline_schemas.audit.log import AuditLog
from meterline_schemas.billing.run import Job, Run, RunState
from meterline_schemas.settings import KafkaSettings
from tests.api.billing.jobs.keyed import KEYS, MIDDLE, kept
from tests.support.processes import Started
from tests.support.streams import wait_until

NOW = datetime(2026, 11, 22, 10, 5, tzinfo=UTC)
DUE = NOW.replace(minute=0)


class Site:
    """Two processes, named by their process ids; the job stands still in the middle until ``go``."""

    def __init__(self, kafka: str, prefix: str, folder: Path) -> None:
        settings = KafkaSettings(kafka=kafka, topic_prefix=prefix)
        self._audit = AuditLog(settings)
        self._ledger = RunLedger(settings, self._audit, Patience(timedelta(seconds=2), timedelta(minutes=10)))
        self._hold = folder / "hold"
        self._hold.touch()
        self._effect = folder / f"close-{DUE:%Y%m%dT%H%M%S}"
        environment = {
            **os.environ,
            "METERLINE_KAFKA": kafka,
            "METERLINE_TOPIC_PREFIX": prefix,
            "METERLINE_BILLING_CLOSE_SCHEDULE": "0 * * * *",
            "METERLINE_BILLING_LOST_AFTER": "PT2S",
            "METERLINE_TEST_NOW": NOW.isoformat(),
            "METERLINE_TEST_SINCE": str(time.time()),
            "METERLINE_TEST_FOLDER": str(folder),
        }
        self.processes = [
            Started("tests.api.billing.jobs.worker", environment=environment, out=folder / f"{n}.log") for n in range(2)
        ]
        self.logs = {each.pid: folder / f"{n}.log" for n, each in enumerate(self.processes)}

    def run(self) -> Run | None:
        return self._ledger.read()[Job.CLOSE].get(DUE)

    def kept(self) -> dict[str, int]:
        return kept(self._effect)

    def go(self) -> None:
        self._hold.unlink()

    def end(self) -> None:
        for each in self.processes:
            each.kill()
            each.wait()
        self._ledger.close()
        self._audit.close()


@pytest.fixture
def site(place: tuple[str, str], tmp_path: Path) -> Iterator[Site]:
    made = Site(*place, tmp_path)
    yield made
    made.end()


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP])
def test_a_run_whose_process_is_killed_or_frozen_in_the_middle_is_ended_once_by_the_other(
    site: Site, blow: signal.Signals
) -> None:
    wait_until(lambda: len(site.kept()) == MIDDLE, 30, "one of them is in the middle")
    (first,) = set(site.kept().values())
    begun = site.run()
    assert begun is not None
    assert (begun.state, begun.owner.split(":")[1]) == (RunState.RUNNING, str(first))
    other = next(each.pid for each in site.processes if each.pid != first)
    os.kill(first, blow)
    wait_until(lambda: f":{other}:" in (site.run() or begun).owner, 30, "the other has taken it over")
    site.go()

    def done() -> bool:
        found = site.run()
        return found is not None and found.state is RunState.DONE

    wait_until(done, 30, "it is done")
    ended = site.run()
    assert ended is not None
    assert (ended.owner.split(":")[1], ended.result) == (str(other), {"appended": str(len(KEYS) - MIDDLE)})
    assert site.kept() == dict.fromkeys(KEYS[:MIDDLE], first) | dict.fromkeys(KEYS[MIDDLE:], other)

    if blow is signal.SIGSTOP:
        os.kill(first, signal.SIGCONT)
        wait_until(lambda: "went on in another process" in site.logs[first].read_text(), 30, "it knows that it lost")
        assert site.run() == ended
        assert len(site.kept()) == len(KEYS)
    assert "Traceback" not in "".join(path.read_text() for path in site.logs.values())
