"""Lines become records of one partition each, bounded, with nothing lost or reordered within a tenant."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from meterline.records import Batch, Line, into_records
from meterline_schemas.partitioning import partition_of

tenants = st.sampled_from([f"tenant-{n}" for n in range(9)])


@st.composite
def many_lines(draw: st.DrawFn) -> list[Line]:
    found = draw(st.lists(st.tuples(tenants, st.text("äx", max_size=20)), max_size=60))
    texts = [(tenant, f"{number}:{text}") for number, (tenant, text) in enumerate(found)]
    return [(tenant, text, len(text.encode())) for tenant, text in texts]


@given(many_lines(), st.integers(1, 8), st.integers(1, 10), st.integers(1, 100))
def test_records_hold_every_line_once_and_in_order(
    lines: list[Line], partitions: int, max_events: int, max_bytes: int
) -> None:
    found: dict[int, list[str]] = defaultdict(list)
    for record in into_records(Batch.of(lines), partitions, max_events, max_bytes):
        texts = record.value.decode().split("\n")
        assert len(texts) == record.events <= max_events
        assert sum(len(text.encode()) for text in texts) == record.size
        assert record.size <= max_bytes or record.events == 1
        found[record.partition] += texts
    expected: dict[int, list[str]] = defaultdict(list)
    for tenant, text, _size in lines:
        expected[partition_of(tenant, partitions)].append(text)
    assert found == expected
