"""The fold, by values alone: equal under any cut, exact at the bounds, once per id."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meterline_schemas import topics
from meterline_schemas.catalog import Metric
from meterline_streams import outputs
from meterline_streams.judge import SourceRecord, instant
from meterline_streams.memory import LONGEST_RUN, SMALL_CHUNK, Changes, Counted, PartitionMemory, TimeRules

METRICS = {name: Metric(key=name, allow_negative=True) for name in ("a", "b")}
LIMITS = TimeRules.of(timedelta(days=35), timedelta(minutes=5), timedelta(hours=6))
START = 1_795_000_000_000  # milliseconds: some November
HOUR = 3_600_000

event = st.fixed_dictionaries(
    {
        "id": st.integers(0, 30).map(str),
        "tenant_id": st.sampled_from(["x", "y"]),
        "metric": st.sampled_from(["a", "b", "unknown"]),
        "quantity": st.decimals(-(10**18) + 1, 10**18 - 1, places=9).map(str),
        "timestamp": st.integers(-30 * HOUR, 60_000).map(lambda offset: instant(START + offset).isoformat()),
    }
)
record = st.tuples(st.lists(event, min_size=1, max_size=5), st.integers(0, 3 * HOUR))


def _records(drawn: Iterable[tuple[list[dict[str, Any]], int]]) -> list[SourceRecord]:
    records, clock = [], START
    for offset, (events, passed) in enumerate(drawn):
        clock += passed
        value = b"\n".join(json.dumps(e).encode() for e in events)
        records.append(SourceRecord(offset, value, clock, clock, hopped=offset % 2 == 1))
    return records


Totals = dict[tuple[str, str, str], dict[str, Any]]


def _checkpoint(memory: PartitionMemory, records: list[SourceRecord]) -> tuple[Counted, Changes]:
    """A checkpoint of batches of two records each: its verdicts, and what it changed."""
    all_of_it = Counted([], [], [])
    for start in range(0, len(records), 2):
        judged = memory.judge(records[start : start + 2], METRICS)
        counted = memory.fold(judged, records[-1].offset + 1)
        all_of_it.accepted += counted.accepted
        all_of_it.rejects += counted.rejects
    return all_of_it, memory.changes()


def _fold(records: list[SourceRecord], cuts: Iterable[int]) -> tuple[PartitionMemory, list[Counted], Totals]:
    """Memory after all records, the verdicts of each checkpoint, and the newest total of every hour as written."""
    memory = PartitionMemory(topics.EVENTS, 0, 1, LIMITS)
    verdicts: list[Counted] = []
    totals: Totals = {}
    start = 0
    for end in sorted({cut for cut in cuts if 0 < cut < len(records)} | {len(records)}):
        counted, changes = _checkpoint(memory, records[start:end])
        verdicts.append(counted)
        start = end
        for output in outputs.state_of_hours(0, changes):
            if output.topic == topics.TOTALS and output.value is not None:
                row = json.loads(output.value)
                totals[row["tenant_id"], row["metric"], row["hour"]] = row
    return memory, verdicts, totals


@given(st.lists(record, min_size=1, max_size=12), st.lists(st.integers(1, 11)))
@settings(deadline=None, max_examples=200)
def test_any_cut_into_checkpoints_gives_the_same_verdicts_and_totals(
    drawn: list[tuple[list[dict[str, Any]], int]], cuts: list[int]
) -> None:
    records = _records(drawn)
    whole, one, totals = _fold(records, [])
    cut, many, totals_of_cut = _fold(records, cuts)

    def verdicts(checkpoints: list[Counted]) -> list[tuple[Any, ...]]:
        accepted = [("accepted", e.kafka_offset, e.kafka_line, e.late) for c in checkpoints for e in c.accepted]
        rejected = [(r.reason, r.kafka_offset, r.kafka_line, 0) for c in checkpoints for r in c.rejects]
        return sorted(accepted + rejected)

    assert verdicts(one) == verdicts(many)
    for row in (*totals.values(), *totals_of_cut.values()):
        row.pop("version")
    assert totals == totals_of_cut
    assert whole.watermark == cut.watermark


@given(st.lists(record, min_size=1, max_size=12), st.lists(st.integers(1, 11)))
@settings(deadline=None, max_examples=200)
def test_totals_equal_a_plain_sum_of_the_accepted_on_time_events(
    drawn: list[tuple[list[dict[str, Any]], int]], cuts: list[int]
) -> None:
    records = _records(drawn)
    _memory, checkpoints, written = _fold(records, cuts)
    expected: dict[tuple[str, str, str], list[tuple[datetime, str, Fraction]]] = defaultdict(list)
    for accepted in (event for counted in checkpoints for event in counted.accepted if not event.late):
        row = json.loads(msgspec.json.encode(accepted))
        key = (row["tenant_id"], row["metric"], row["timestamp"][:13] + ":00:00Z")
        expected[key].append((datetime.fromisoformat(row["timestamp"]), row["id"], Fraction(row["quantity"])))
    assert written.keys() == expected.keys()
    for key, events in expected.items():
        row = written[key]
        quantities = [quantity for _timestamp, _id, quantity in events]
        assert row["count"] == len(events)
        assert Fraction(row["sum"]) == sum(quantities)
        assert (Fraction(row["min"]), Fraction(row["max"])) == (min(quantities), max(quantities))
        assert Fraction(row["last"]) == max(events)[2]


@given(st.lists(record, min_size=1, max_size=12))
@settings(deadline=None, max_examples=100)
def test_every_line_has_one_verdict_and_no_id_counts_twice_within_the_horizon(
    drawn: list[tuple[list[dict[str, Any]], int]],
) -> None:
    records = _records(drawn)
    _memory, (counted,), _totals = _fold(records, [])
    verdicts = [(e.kafka_offset, e.kafka_line) for e in counted.accepted]
    verdicts += [(r.kafka_offset, r.kafka_line) for r in counted.rejects]
    lines = [(r.offset, line) for r in records for line in range(len(r.value.split(b"\n")))]
    assert sorted(verdicts) == lines
    appended = {r.offset: r.appended for r in records}
    seen: dict[tuple[str, str], int] = {}
    for e in sorted(counted.accepted, key=lambda e: (e.kafka_offset, e.kafka_line)):
        before = seen.get((e.tenant_id, e.id))
        assert before is None or appended[e.kafka_offset] - before > LIMITS.horizon
        seen[e.tenant_id, e.id] = appended[e.kafka_offset]


@given(st.lists(record, min_size=1, max_size=12), st.integers(1, 11))
@settings(deadline=None, max_examples=200)
def test_memory_restored_from_what_was_written_goes_on_as_if_never_stopped(
    drawn: list[tuple[list[dict[str, Any]], int]], cut: int
) -> None:
    records = _records(drawn)
    first, second = records[:cut], records[cut:]
    if not second:
        return
    memory = PartitionMemory(topics.EVENTS, 0, 1, LIMITS)
    state: list[tuple[bytes, bytes | None]] = []
    for record in first:
        _counted, changes = _checkpoint(memory, [record])
        state += _state(changes)
    restored = PartitionMemory(topics.EVENTS, 0, 1, LIMITS)
    assert outputs.restore(restored, state)
    (went_on, changed), (again, changed_again) = (_checkpoint(m, second) for m in (memory, restored))
    assert restored.watermark == memory.watermark
    assert list(outputs.verdicts(went_on)) == list(outputs.verdicts(again))
    for written in (lambda c: outputs.state_of_hours(0, c), outputs.state_of_ids):
        assert list(written(changed)) == list(written(changed_again))


def _state(changes: Changes) -> list[tuple[bytes, bytes | None]]:
    written = (
        *outputs.state_of_hours(0, changes),
        *outputs.state_of_ids(changes),
        *outputs.progress(0, changes.watermark),
    )
    return [(output.key, output.value) for output in written if output.topic == topics.STATE and output.key]


def _line(id: str, clock: int) -> bytes:
    event = {"id": id, "tenant_id": "x", "metric": "a", "quantity": 1, "timestamp": instant(clock).isoformat()}
    return json.dumps(event).encode()


@pytest.mark.parametrize("compacted", [False, True])
def test_a_long_run_of_small_chunks_leaves_few_and_no_id_is_forgotten(compacted: bool) -> None:
    memory = PartitionMemory(topics.EVENTS, 0, 1, LIMITS)
    log: list[tuple[bytes, bytes | None]] = []
    records = []
    for offset in range(3 * LONGEST_RUN):
        records.append(SourceRecord(offset, _line(str(offset), START), START + offset, START + offset, hopped=False))
        _counted, changes = _checkpoint(memory, records[-1:])
        log += _state(changes)
    if compacted:
        last = {key: position for position, (key, _value) in enumerate(log)}
        log = [record for position, record in enumerate(log) if last[record[0]] == position]
    assert (
        len({key for key, value in log if key.startswith(outputs.IDS_PREFIX)} - {k for k, v in log if v is None}) < 300
    )
    restored = PartitionMemory(topics.EVENTS, 0, 1, LIMITS)
    outputs.restore(restored, log)
    offset = len(records)
    again = [record._replace(offset=offset + n, appended=START + offset) for n, record in enumerate(records)]
    for m in (memory, restored):
        counted, _changes = _checkpoint(m, again)
        assert not counted.accepted
        assert {reject.reason for reject in counted.rejects} == {"duplicate"}


def test_chunks_leave_the_state_once_their_ids_left_the_horizon() -> None:
    memory = PartitionMemory(topics.EVENTS, 0, 1, LIMITS)
    live: set[bytes] = set()
    for offset in range(60):  # an event every twenty minutes: twenty hours, of which six are remembered
        clock = START + offset * HOUR // 3
        lines = [
            {
                "id": f"{offset}-{n}",
                "tenant_id": "x",
                "metric": "a",
                "quantity": 1,
                "timestamp": instant(clock).isoformat(),
            }
            for n in range(SMALL_CHUNK)
        ]
        value = b"\n".join(json.dumps(line).encode() for line in lines)
        _counted, changes = _checkpoint(memory, [SourceRecord(offset, value, clock, clock, hopped=False)])
        for key, written in _state(changes):
            if key.startswith(outputs.IDS_PREFIX):
                live.add(key) if written is not None else live.remove(key)
        assert len(live) <= 6 * 3 + 1
