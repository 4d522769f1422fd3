"""The door refuses what is certain to be rejected, and makes what is missing once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from meterline_api.door import Admitted, Blocked, Refused, Window, derived_id, judge
from meterline_api.submissions import Submission
from meterline_schemas.reading import InvalidLine, decode_line
from meterline_schemas.reject import Reason

NOW = datetime(2026, 1, 1, 12, 0, 0, 123456, UTC)
WINDOW = Window(timedelta(days=35), timedelta(minutes=5))


def submission(**fields: Any) -> Submission:
    return Submission(**{"tenant_id": "t", "metric": "m", "quantity": msgspec.Raw(b"1"), "id": "a", **fields})


def one(found: Submission | InvalidLine, key: str | None = None) -> Admitted | Refused | Blocked:
    (verdict,) = judge([found], key, NOW, WINDOW)
    return verdict


def test_an_event_that_can_count_is_admitted_as_the_stream_will_read_it() -> None:
    verdict = one(submission(quantity=msgspec.Raw(b"1.50"), timestamp=NOW))
    assert isinstance(verdict, Admitted)
    tenant_id, text, size = verdict.line
    event = decode_line(text.encode())
    assert (tenant_id, size, verdict.id) == ("t", len(text), "a")
    assert (event.id, bytes(event.quantity)) == ("a", b'"1.5"')
    assert event.timestamp == NOW.replace(microsecond=123000)


def test_a_missing_timestamp_is_the_time_of_the_request() -> None:
    verdict = one(submission())
    assert isinstance(verdict, Admitted)
    assert decode_line(verdict.line[1].encode()).timestamp == NOW.replace(microsecond=123000)


def test_a_missing_id_needs_an_idempotency_key() -> None:
    verdict = one(submission(id=None))
    assert isinstance(verdict, Refused)
    assert "Idempotency-Key" in verdict.detail


def test_an_idempotency_key_gives_the_same_ids_each_time_and_others_to_each_place() -> None:
    events: list[Submission | InvalidLine] = [submission(id=None), submission(), submission(id=None)]
    first = [verdict.id for verdict in judge(events, "key", NOW, WINDOW)]
    assert first == [verdict.id for verdict in judge(events, "key", NOW + timedelta(hours=1), WINDOW)]
    assert first[1] == "a"
    assert len({*first, *(verdict.id for verdict in judge(events, "other", NOW, WINDOW))}) == 5


def test_derived_ids_never_change() -> None:
    # callers may try again after an upgrade of the server
    assert derived_id("key", 0) == "93dec489-7558-5b05-bc29-cc14a59e10d2"
    assert derived_id("key", 1) == "c5abb495-5271-546b-8b90-c5a616877889"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"quantity": msgspec.Raw(b'"x"')}, Reason.INVALID_EVENT),
        ({"quantity": msgspec.Raw(b"1e18")}, Reason.QUANTITY_OUT_OF_RANGE),
        ({"properties": msgspec.Raw(b"[]")}, Reason.INVALID_EVENT),
        ({"tenant_id": "a\nb"}, Reason.INVALID_EVENT),
        ({"timestamp": NOW - timedelta(days=35, microseconds=1)}, Reason.TOO_OLD),
        ({"timestamp": NOW + timedelta(minutes=5, microseconds=1)}, Reason.IN_FUTURE),
        ({"timestamp": datetime(1, 1, 1, tzinfo=UTC)}, Reason.TOO_OLD),
    ],
)
def test_what_is_certain_to_be_rejected_is_refused_for_the_same_reason(fields: dict[str, Any], reason: Reason) -> None:
    verdict = one(submission(**fields))
    assert isinstance(verdict, Refused)
    assert (verdict.reason, verdict.id) == (reason, "a")
    assert verdict.detail


@pytest.mark.parametrize("timestamp", [NOW - timedelta(days=35), NOW + timedelta(minutes=5)])
def test_the_bounds_of_the_window_are_inside(timestamp: datetime) -> None:
    assert isinstance(one(submission(timestamp=timestamp)), Admitted)


def test_an_unknown_metric_is_for_the_stream_to_judge() -> None:
    assert isinstance(one(submission(metric="never defined")), Admitted)


def test_what_could_not_be_read_is_refused_with_its_reason() -> None:
    assert one(InvalidLine(Reason.INVALID_JSON, "why")) == Refused(None, Reason.INVALID_JSON, "why")
