"""The fold, by values alone: equal under any cut, exact at the bounds, once per id."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from meterline_schemas import topics
from meterline_schemas.catalog import Metric
from meterline_streams import outputs
from meterline_streams.judge import SourceRecord, instant
from meterline_streams.memory import Changes, Limits, PartitionMemory

METRICS = {name: Metric(key=name, allow_negative=True) for name in ("a", "b")}
LIMITS = Limits.of(timedelta(days=35), timedelta(minutes=5), timedelta(hours=6))
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
        records.append(SourceRecord(offset, value, clock, clock, hopped=True))
    return records


Totals = dict[tuple[str, str, str], dict[str, Any]]


def _fold(records: list[SourceRecord], cuts: Iterable[int]) -> tuple[PartitionMemory, list[Changes], Totals]:
    """Memory after all records, what each checkpoint changed, and the newest total of every hour as it was written."""
    memory = PartitionMemory(topics.EVENTS, 0, 1, LIMITS)
    changes: list[Changes] = []
    totals: Totals = {}
    start = 0
    for end in sorted({cut for cut in cuts if 0 < cut < len(records)} | {len(records)}):
        changes.append(memory.fold(memory.judge(records[start:end], METRICS)))
        start = end
        for output in outputs.state_of_hours(0, changes[-1]):
            if output.topic == topics.TOTALS and output.value is not None:
                row = json.loads(output.value)
                totals[row["tenant_id"], row["metric"], row["hour"]] = row
    return memory, changes, totals


@given(st.lists(record, min_size=1, max_size=12), st.lists(st.integers(1, 11)))
@settings(deadline=None, max_examples=200)
def test_any_cut_into_checkpoints_gives_the_same_verdicts_and_totals(
    drawn: list[tuple[list[dict[str, Any]], int]], cuts: list[int]
) -> None:
    records = _records(drawn)
    whole, one, totals = _fold(records, [])
    cut, many, totals_of_cut = _fold(records, cuts)

    def verdicts(changes: list[Changes]) -> list[tuple[Any, ...]]:
        accepted = [("accepted", e.kafka_offset, e.kafka_line, e.late) for c in changes for e in c.accepted]
        rejected = [(r.reason, r.kafka_offset, r.kafka_line, 0) for c in changes for r in c.rejects]
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
    _memory, changes, written = _fold(records, cuts)
    expected: dict[tuple[str, str, str], list[tuple[datetime, str, Fraction]]] = defaultdict(list)
    for accepted in (event for change in changes for event in change.accepted if not event.late):
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
    _memory, (changes,), _totals = _fold(records, [])
    verdicts = [(e.kafka_offset, e.kafka_line) for e in changes.accepted]
    verdicts += [(r.kafka_offset, r.kafka_line) for r in changes.rejects]
    lines = [(r.offset, line) for r in records for line in range(len(r.value.split(b"\n")))]
    assert sorted(verdicts) == lines
    appended = {r.offset: r.appended for r in records}
    seen: dict[tuple[str, str], int] = {}
    for e in sorted(changes.accepted, key=lambda e: (e.kafka_offset, e.kafka_line)):
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
    state: dict[bytes, bytes] = {}
    changes = memory.fold(memory.judge(first, METRICS))
    for output in (
        *outputs.state_of_hours(0, changes),
        *outputs.state_of_ids(changes),
        *outputs.progress(0, changes.watermark),
    ):
        if output.topic == topics.STATE:
            assert output.key is not None
            if output.value is None:
                state.pop(output.key, None)
            else:
                state[output.key] = output.value
    restored = PartitionMemory(topics.EVENTS, 0, 1, LIMITS)
    for key, value in state.items():
        outputs.restore(restored, key, value)
    went_on, again = (m.fold(m.judge(second, METRICS)) for m in (memory, restored))
    assert restored.watermark == memory.watermark
    for written in (outputs.verdicts, lambda c: outputs.state_of_hours(0, c), outputs.state_of_ids):
        assert list(written(went_on)) == list(written(again))
