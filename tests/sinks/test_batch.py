"""Which records make which inserts."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from meterline_schemas.audit.entry import GENESIS, Author, Draft
from meterline_schemas.audit.entry import written as written_entry
from meterline_schemas.topics import ACCEPTED, AUDIT, CONFIG, NOTIFICATIONS, PROGRESS_KEY, REJECTED, TOTALS
from meterline_sinks.batch import PROGRESS_TABLE, TABLES, Batch, Insert, progress_row

Record = tuple[str, int, int, bytes | None, bytes | None]
Tables = dict[str, dict[tuple[object, ...], bytes]]


@st.composite
def logs(draw: st.DrawFn) -> list[Record]:
    """Records of six partitions, offsets rising with gaps within each, as a consumer may see them."""
    records: list[Record] = []
    ends: dict[tuple[str, int], int] = {}
    for _ in range(draw(st.integers(0, 40))):
        topic = draw(st.sampled_from([ACCEPTED, REJECTED, TOTALS]))
        partition = draw(st.integers(0, 1))
        offset = ends.get((topic, partition), 0) + draw(st.integers(0, 3))
        ends[topic, partition] = offset + 1
        line = json.dumps({"offset": offset, "partition": partition, "topic": topic}).encode()
        if draw(st.integers(0, 4)) == 0:
            records.append((topic, partition, offset, PROGRESS_KEY, line))
        elif topic == TOTALS:
            key = draw(st.sampled_from([b"a", b"b", b"c"]))
            records.append((topic, partition, offset, key, draw(st.sampled_from([line, line, None]))))
        else:
            records.append((topic, partition, offset, None, b"\n".join([line] * draw(st.integers(1, 3)))))
    return records


def batch_of(records: Sequence[Record]) -> Batch:
    batch = Batch()
    for record in records:
        batch.add(*record)
    return batch


def written(batches: Sequence[Batch]) -> Tables:
    """What the tables hold in the end: a row replaces the earlier one of its key."""
    tables: Tables = {}
    for batch in batches:
        for insert in batch.inserts():
            table = tables.setdefault(insert.table, {})
            for row, origin in zip(insert.rows, insert.origins, strict=True):
                # totals and progress replace by key, the others are told apart by where they came from
                fields = json.loads(row.splitlines()[0])
                table[(fields["topic"], origin[1]) if insert.table == PROGRESS_TABLE else origin] = row
    return tables


@given(logs())
def test_rows_pass_through_as_they_came_in_the_order_of_their_partition(records: list[Record]) -> None:
    inserts = {insert.table: insert for insert in batch_of(records).inserts()}
    for topic in (ACCEPTED, REJECTED):
        expected = [(r[:3], r[4]) for r in records if r[0] == topic and r[3] is None]
        insert = inserts.get(TABLES[topic], Insert(TABLES[topic], [], []))
        assert list(zip(insert.origins, insert.rows, strict=True)) == expected
        assert insert.body() == b"\n".join(value or b"" for _, value in expected)


@given(logs(), st.lists(st.integers(0, 40), max_size=6))
def test_however_the_log_is_cut_the_same_is_written_and_committed(records: list[Record], cuts: list[int]) -> None:
    edges = sorted({0, len(records), *(min(cut, len(records)) for cut in cuts)})
    pieces = [batch_of(records[a:b]) for a, b in itertools.pairwise(edges)]
    whole = batch_of(records)
    cut, once = written(pieces), written([whole])
    for table in (TABLES[ACCEPTED], TABLES[REJECTED], PROGRESS_TABLE):
        assert cut.get(table) == once.get(table)
    # of totals the whole may hold fewer, but for each key the same last one
    last = {(r[1], r[3]): r[4] for r in records if r[0] == TOTALS and r[3] != PROGRESS_KEY and r[4] is not None}
    assert set(last.values()) == set(once.get(TABLES[TOTALS], {}).values())
    assert set(last.values()) <= set(cut.get(TABLES[TOTALS], {}).values())
    committed: dict[tuple[str, int], int] = {}
    for piece in pieces:
        committed.update(piece.next_offsets)
    assert committed == whole.next_offsets
    assert committed == {(r[0], r[1]): max(s[2] for s in records if s[:2] == r[:2]) + 1 for r in records}


@given(logs())
def test_bytes_count_every_value_so_that_memory_is_bounded(records: list[Record]) -> None:
    assert batch_of(records).bytes == sum(len(r[4] or b"") for r in records)


@given(logs())
def test_progress_is_written_after_everything_it_speaks_of(records: list[Record]) -> None:
    order = [TABLES[ACCEPTED], TABLES[REJECTED], TABLES[TOTALS], PROGRESS_TABLE]
    tables = [insert.table for insert in batch_of(records).inserts()]
    assert tables == [table for table in order if table in tables]


def test_of_the_totals_of_one_key_only_the_last_is_inserted() -> None:
    batch = batch_of([(TOTALS, 0, 5, b"k", b"old"), (TOTALS, 1, 5, b"k", b"other"), (TOTALS, 0, 9, b"k", b"new")])
    (insert,) = batch.inserts()
    assert insert.rows == [b"new", b"other"]
    assert insert.origins == [(TOTALS, 0, 9), (TOTALS, 1, 5)]


def test_a_tombstone_moves_the_offset_and_writes_nothing() -> None:
    batch = batch_of([(TOTALS, 0, 5, b"k", None)])
    assert batch.inserts() == []
    assert batch.next_offsets == {(TOTALS, 0): 6}
    assert batch


def test_the_end_of_the_log_is_committed_even_where_nothing_was_read() -> None:
    batch = Batch()
    assert not batch
    batch.skip_to(ACCEPTED, 3, 17)
    assert batch
    assert batch.next_offsets == {(ACCEPTED, 3): 17}
    assert batch.inserts() == []


def test_a_progress_row_is_its_record_with_the_topic_in_front() -> None:
    row = progress_row(REJECTED, b'{"kafka_partition":3,"next_offset":12}')
    assert json.loads(row) == {"topic": "usage.rejected", "kafka_partition": 3, "next_offset": 12}


@given(st.sampled_from([CONFIG, NOTIFICATIONS]), st.none() | st.binary(max_size=20), st.none() | st.binary(max_size=60))
def test_no_bytes_on_the_topics_that_are_decoded_are_lost_in_silence_or_stop_it(
    topic: str, key: bytes | None, value: bytes | None
) -> None:
    batch = batch_of([(topic, 0, 5, key, value)])
    assert batch.next_offsets == {(topic, 0): 6}
    left_out = (key or b"").startswith((b"webhook/", b"partitions")) or (topic == NOTIFICATIONS and value is None)
    assert len(batch.inserts()) + len(batch.passed_over) == (0 if left_out else 1)
    assert all("\n" not in problem for _origin, problem in batch.passed_over)


def test_a_key_of_progress_means_progress_only_where_there_is_some() -> None:
    batch = batch_of([(CONFIG, 0, 5, PROGRESS_KEY, b"{}")])
    assert batch.inserts() == []
    assert [origin for origin, _problem in batch.passed_over] == [(CONFIG, 0, 5)]


@given(st.lists(st.binary(min_size=1), min_size=2, max_size=20))
def test_halves_are_the_whole(rows: list[bytes]) -> None:
    insert = Insert("t", rows, [(ACCEPTED, 0, n) for n in range(len(rows))])
    first, second = insert.halves()
    assert first.rows
    assert second.rows
    assert [*first.rows, *second.rows] == rows
    assert [*first.origins, *second.origins] == list(insert.origins)


def test_entries_of_the_audit_log_are_rows_and_what_is_none_is_passed_over() -> None:
    entry = written_entry(
        Draft(author=Author("root"), action="quota.updated", resource_type="quota", after={"b": 1, "a": "ü"}),
        seq=1, id="aud_1", at=datetime(2026, 11, 21, 12, 0, 0, 120_000, UTC), previous=GENESIS,
    )  # fmt: skip
    impossible = [b"", b"[]", b"no entry", *(entry.encode().replace(b"2026-11-21T12", text) for text in TIMES)]
    records: list[Record] = [(AUDIT, 0, 0, None, entry.encode()), (AUDIT, 0, 1, None, None)]
    records += [(AUDIT, 0, 2 + number, None, value) for number, value in enumerate(impossible)]
    batch = batch_of(records)
    (insert,) = batch.inserts()
    assert insert.table == "audit_log"
    (row,) = map(json.loads, insert.rows)
    assert (row["seq"], row["at"], row["kafka_offset"], row["hash"]) == (1, entry.at, 0, entry.hash)
    assert (row["before"], row["after"], row["details"]) == ("null", '{"a":"ü","b":1}', "null")
    assert [origin[2] for origin, _why in batch.passed_over] == list(range(2, 2 + len(impossible)))
    assert batch.next_offsets == {(AUDIT, 0): 2 + len(impossible)}


TIMES = (b"2026-02-30T12", b"2026-11-21T29", b"9999-11-21T12", b"2026-11-21 12", b"yesterday")
