"""The thread that writes entries: what waits goes together, and a report whose entry fails is not given out."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from fastapi import Request

from meterline_api.access.desk import ROOT
from meterline_api.audit.auditing import audit
from meterline_api.audit.recorder import Recorder
from meterline_api.problems import Problem
from meterline_schemas.audit.entry import GENESIS, AuditEntry, Author, Draft, written
from meterline_schemas.errors import UnavailableError


def draft(id: str) -> Draft:
    return Draft(author=Author("root"), action="export.generated", resource_type="usage", resource_id=id)


class Log:
    """Writes when it is let, and keeps what was written together."""

    def __init__(self) -> None:
        self.let = threading.Event()
        self.begun = threading.Event()
        self.together: list[list[str]] = []
        self.failure: Exception | None = None

    def append(self, *drafts: Draft) -> Sequence[AuditEntry]:
        self.begun.set()
        assert self.let.wait(10)
        self.together.append([each.resource_id for each in drafts])
        if self.failure is not None:
            raise self.failure
        at = datetime(2026, 11, 21, tzinfo=UTC)
        return [written(each, seq=n, id=each.resource_id, at=at, previous=GENESIS) for n, each in enumerate(drafts, 1)]


def request(recorder: object) -> Request:
    state = SimpleNamespace(recorder=recorder)
    scope: dict[str, Any] = {
        "type": "http",
        "headers": [(b"x-request-id", "ü".encode())],
        "client": ("203.0.113.7", 5),
        "app": SimpleNamespace(state=state),
    }
    made = Request(scope)
    made.state.caller = ROOT
    return made


def test_what_waits_is_written_together_and_each_gets_its_own_entry() -> None:
    log = Log()
    recorder = Recorder(log)
    recorder.start()
    first = recorder.record(draft("first"))
    assert log.begun.wait(10)
    waiting = [recorder.record(draft(f"{number}")) for number in range(5)]
    given_up = recorder.record(draft("given up"))
    assert given_up.cancel()
    recorder.stop()
    log.let.set()
    assert first.result(10).id == "first"
    assert [each.result(10).id for each in waiting] == ["0", "1", "2", "3", "4"]
    recorder.join(10)
    assert log.together == [["first"], ["0", "1", "2", "3", "4"]], "what is cancelled is not begun, stop drains"


def test_a_failure_is_told_to_all_who_wait_and_the_next_are_written() -> None:
    log = Log()
    log.let.set()
    log.failure = UnavailableError("Kafka is away")
    recorder = Recorder(log)
    recorder.start()
    with pytest.raises(UnavailableError):
        recorder.record(draft("a")).result(10)
    log.failure = None
    assert recorder.record(draft("b")).result(10).id == "b"
    recorder.stop()


@pytest.mark.parametrize("answers", [True, False])
def test_a_report_that_cannot_be_written_down_is_refused(monkeypatch: pytest.MonkeyPatch, answers: bool) -> None:
    monkeypatch.setattr("meterline_api.audit.auditing._WITHIN", 0.05)
    future: Future[AuditEntry] = Future()
    if answers:
        future.set_exception(UnavailableError("Kafka is away"))
    seen: list[Draft] = []

    def record(given: Draft) -> Future[AuditEntry]:
        seen.append(given)
        return future

    asked = request(SimpleNamespace(record=record))
    with pytest.raises(Problem) as refused:
        asyncio.run(audit(asked, "export.generated", "usage", tenant_id="acme", details={"rows": 3}))
    assert (refused.value.status, refused.value.code) == (503, "kafka_unavailable")
    assert seen[0].author == Author("root", "203.0.113.7", ""), "a request id that is no plain text is left out"
    assert answers or future.cancelled()


def test_the_entry_is_what_is_returned() -> None:
    entry = written(draft("x"), seq=1, id="aud_1", at=datetime(2026, 11, 21, tzinfo=UTC), previous=GENESIS)
    future: Future[AuditEntry] = Future()
    future.set_result(entry)
    recorder = cast(Recorder, SimpleNamespace(record=lambda _draft: future))
    assert asyncio.run(audit(request(recorder), "export.generated", "usage")) == entry
