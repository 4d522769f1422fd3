"""Checks ``rows`` and ``rejects``: a table, read with FINAL, holds what its topic says, row by row.

First a count and a sum of hashes per slice of offsets, computed here and by ClickHouse; then, for the slices that
differ, each row. Of several copies of one event the table keeps one: on time before late, then the first in Kafka.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from meterline_deploy.reconcile.buckets import LATE, Sums, different, runs
from meterline_deploy.reconcile.collect import Collected, rank, rows_of
from meterline_deploy.reconcile.kafka import Topics
from meterline_deploy.reconcile.report import Check, Difference
from meterline_deploy.reconcile.scope import PROGRESS_KEY, Part, Slices
from meterline_deploy.reconcile.shapes import EVENTS, Row, Shape
from meterline_deploy.reconcile.warehouse import Warehouse, by_partition, text

_LOOKED_UP = 200  # keys in one query
_STRANGERS = 100_000


@dataclass(frozen=True)
class Expected:
    """What the topic says of one partition: by slice the sums of the rows that stand, and where they lie in it."""

    part: Part
    slices: Slices
    sums: Sums
    spans: Mapping[int, tuple[int, int]]
    twice: Sequence[tuple[int, int]]  # on-time copies beside an on-time one: offset, hash of the key
    rows: int

    @classmethod
    def of(cls, part: Part, collected: Collected) -> Expected:
        slices = collected.slices
        standing = collected.hashes.standing(slices.start, slices.end)
        sums = standing.sums(slices.start, slices.width)
        twice = list(zip(standing.twice.tolist(), standing.twice_keys.tolist(), strict=True))
        return cls(part, slices, sums, collected.spans, twice, len(standing.rows))


def new_check(shape: Shape) -> Check:
    if shape.table == EVENTS.table:
        return Check("rows", "usage_events_raw FINAL = usage.accepted", "events")
    return Check("rejects", "rejected_events FINAL = usage.rejected", "rejects")


class RowCheck:
    """Compares one table with its topic, all partitions in one query."""

    def __init__(self, shape: Shape, topics: Topics, warehouse: Warehouse, limit: int) -> None:
        self.check = new_check(shape)
        self._shape = shape
        self._topics = topics
        self._warehouse = warehouse
        self._limit = limit

    def run(self, expected: Mapping[int, Expected], ends: Mapping[int, int]) -> Check:
        """``ends`` is where each partition of usage.events ended when reading began."""
        found = self._sums({partition: each.slices for partition, each in expected.items()})
        for partition, each in sorted(expected.items()):
            self.check.compared += each.rows
            self._counted_twice(partition, each)
            for first, last in runs(different(each.sums, found.get(partition, {}))):
                if len(self.check.differences) >= self._limit:
                    self.check.at_least = True
                    self.check.count += 1
                    continue
                self.check.add(list(self._drill(partition, each, first, last)), self._limit)
        self._strangers(ends)
        return self.check

    def _sums(self, slices: Mapping[int, Slices]) -> dict[int, dict[int, tuple[int, int]]]:
        start = by_partition({p: each.start for p, each in slices.items()}, 0)
        end = by_partition({p: each.end for p, each in slices.items()}, 0)
        width = by_partition({p: each.width for p, each in slices.items()}, 1)
        found: dict[int, dict[int, tuple[int, int]]] = {}
        for partition, piece, rows, total in self._warehouse.rows(
            f"SELECT kafka_partition, intDiv(kafka_offset - {start}, {width}) AS piece, count(), "
            f"sum({self._shape.hash_sql}) FROM {self._shape.table} FINAL "
            f"WHERE kafka_offset >= {start} AND kafka_offset < {end} GROUP BY kafka_partition, piece"
        ):
            found.setdefault(int(partition), {})[int(piece)] = (int(rows), int(total))
        return found

    def _drill(self, partition: int, expected: Expected, first: int, last: int) -> Iterator[Difference]:
        """Each row of the slices from ``first`` to ``last`` that is not on both sides."""
        start, end = expected.slices.offsets(first, last)
        wanted = self._of_topic(partition, expected, first, last)
        found = self._of_table(f"kafka_partition = {partition} AND kafka_offset >= {start} AND kafka_offset < {end}")
        elsewhere = (
            self._by_key([key for key in wanted if key not in found]) if self._shape.table == EVENTS.table else {}
        )
        for key, row in sorted(wanted.items()):
            fields, place = self._shape.fields(row.texts), self._shape.key_fields(key)
            if key in found:
                other = self._shape.fields(found[key])
                if other != fields:
                    yield Difference("different", place, fields, other, f"partition {partition}")
            elif key not in elsewhere:
                yield Difference("missing in ClickHouse", place, fields, None, f"partition {partition}")
            elif self._rank(elsewhere[key]) > rank(row):
                other = self._shape.fields(elsewhere[key])
                yield Difference("another copy stands", place, fields, other, f"partition {partition}")
        for key, texts in sorted(found.items()):
            if key not in wanted:
                place = self._shape.key_fields(key)
                detail = f"partition {partition}: {self._shape.topic} does not have it"
                yield Difference("only in ClickHouse", place, None, self._shape.fields(texts), detail)

    def _of_topic(self, partition: int, expected: Expected, first: int, last: int) -> dict[tuple[str, ...], Row]:
        """The rows that stand among those of the slices, read from the topic again."""
        spans = [expected.spans[piece] for piece in range(first, last + 1) if piece in expected.spans]
        standing: dict[tuple[str, ...], Row] = {}
        if not spans:
            return standing
        start, end = min(span[0] for span in spans), max(span[1] for span in spans)
        low, high = expected.slices.offsets(first, last)
        for message in self._topics.read(self._shape.topic, partition, start, end):
            if message.key == PROGRESS_KEY:
                continue
            for row in rows_of(self._shape, message, []):
                if low <= row.offset < high:
                    key = self._shape.key_of(row.texts)
                    if key not in standing or rank(row) < rank(standing[key]):
                        standing[key] = row
        return standing

    def _of_table(self, where: str) -> dict[tuple[str, ...], list[str]]:
        rows = self._warehouse.rows(f"SELECT {self._shape.texts_sql} FROM {self._shape.table} FINAL WHERE {where}")
        return {self._shape.key_of(texts): list(texts) for (texts,) in rows}

    def _by_key(self, keys: Sequence[tuple[str, ...]]) -> dict[tuple[str, ...], list[str]]:
        """Rows of the table by their keys, wherever they were judged."""
        found: dict[tuple[str, ...], list[str]] = {}
        for start in range(0, len(keys), _LOOKED_UP):
            part = keys[start : start + _LOOKED_UP]
            tuples = ", ".join(
                f"({text(tenant)}, {text(metric)}, toDateTime64({text(timestamp)}, 3, 'UTC'), {text(id)})"
                for tenant, metric, timestamp, id in part
            )
            found |= self._of_table(f"(tenant_id, metric, timestamp, id) IN ({tuples})")
        return found

    def _rank(self, texts: list[str]) -> int:
        fields = self._shape.fields(texts)
        offset = int(fields["kafka_offset"])
        return offset | LATE if fields["late"] != "0" else offset

    def _counted_twice(self, partition: int, expected: Expected) -> None:
        room = max(0, self._limit - len(self.check.differences))
        named = [self._copy(partition, expected, *copy) for copy in expected.twice[:room]]
        self.check.add(named, self._limit)
        self.check.count += len(expected.twice) - len(named)

    def _copy(self, partition: int, expected: Expected, offset: int, key_hash: int) -> Difference:
        detail = f"partition {partition}: two lines of usage.accepted are on time and both count in the totals"
        start, end = expected.spans.get(expected.slices.of(offset), (0, 0))
        for message in self._topics.read(self._shape.topic, partition, start, end):
            if message.key != PROGRESS_KEY:
                for row in rows_of(self._shape, message, []):
                    if row.offset == offset and self._shape.hashes(row.texts)[0] == key_hash:
                        key = self._shape.key_fields(self._shape.key_of(row.texts))
                        return Difference("counted twice", key, None, self._shape.fields(row.texts), detail)
        return Difference("counted twice", {"kafka_offset": str(offset)}, detail=detail)

    def _strangers(self, partitions: Mapping[int, int]) -> None:
        """Rows of partitions that nothing was judged on, or of offsets that usage.events does not have yet."""
        end = by_partition(partitions, 0)
        found = self._warehouse.rows(
            f"SELECT kafka_partition, kafka_offset, {self._shape.texts_sql} FROM {self._shape.table} FINAL "
            f"WHERE kafka_offset >= {end} LIMIT {_STRANGERS}"
        )
        ends = (
            {partition: self._topics.bounds("usage.events", partition)[1] for partition in partitions} if found else {}
        )
        for partition, offset, texts in found:
            if int(offset) < ends.get(int(partition), 0):
                continue  # it came in the meantime
            place = self._shape.key_fields(self._shape.key_of(texts))
            detail = f"partition {partition}: usage.events has no offset {offset}"
            self.check.add(
                [Difference("only in ClickHouse", place, None, self._shape.fields(texts), detail)], self._limit
            )
