"""Check ``totals topic``: usage_totals = the newest record of each key on ``usage.totals``.

The topic is compacted, and forgets what was written more than its retention ago: of hours before that only the table
speaks, unless nothing was forgotten yet.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np

from meterline_deploy.reconcile.buckets import KEY_SHIFT, different, sums_of
from meterline_deploy.reconcile.check_totals import hours
from meterline_deploy.reconcile.collect import Advance, rows_of, steps
from meterline_deploy.reconcile.kafka import Topics
from meterline_deploy.reconcile.report import Check, Difference
from meterline_deploy.reconcile.scope import PROGRESS_KEY
from meterline_deploy.reconcile.scope import TOTALS as TOPIC
from meterline_deploy.reconcile.shapes import TOTALS, Row
from meterline_deploy.reconcile.times import Period
from meterline_deploy.reconcile.warehouse import Warehouse, by_partition

_KEPT: Final = timedelta(days=45)  # as documented for the topic

_FORMAT: Final = "%Y-%m-%d %H:%M:%S"
_HOUR: Final = list(TOTALS.key).index("hour")
_BUCKET: Final = f"bitShiftRight({TOTALS.key_hash_sql}, {KEY_SHIFT})"

Ends = Mapping[int, tuple[int, int]]  # of each partition of the topic: first offset, end


def new_check() -> Check:
    return Check("totals topic", "usage_totals FINAL = newest records of usage.totals", "total records")


def kept(period: Period, ends: Ends, now: datetime) -> Period:
    """The part of the period that the topic still knows whole."""
    if all(start == 0 for start, _end in ends.values()):
        return period
    oldest = (now.astimezone(UTC) - _KEPT + timedelta(hours=1)).replace(minute=0, second=0, microsecond=0)
    return Period(max(period.start or oldest, oldest), period.end)


@dataclass
class TopicCheck:
    """``cut`` is how far ClickHouse was written when the check began; totals that moved on since are left out."""

    topics: Topics
    warehouse: Warehouse
    cut: Mapping[int, int]
    ends: Ends
    period: Period
    limit: int
    check: Check = field(default_factory=new_check)

    def run(self, advance: Advance) -> Check:
        expected = self._expected(advance)
        self.check.compared = sum(rows for rows, _sum in expected.values())
        found = {
            int(bucket): (int(rows), int(total))
            for bucket, rows, total in self.warehouse.rows(
                f"SELECT {_BUCKET} AS bucket, count(), sum({TOTALS.hash_sql}) FROM usage_totals FINAL "
                f"WHERE version <= {by_partition(self.cut, 0)} AND {hours(self.period, 'hour')} GROUP BY bucket"
            )
        }
        wrong = different(expected, found)
        if wrong:
            self._drill(wrong)
        return self.check

    def _expected(self, advance: Advance) -> dict[int, tuple[int, int]]:
        """By bucket of keys, the newest totals as far as ClickHouse was written."""
        buckets, hashes = array("q"), array("Q")
        for partition in self.ends:
            newest: dict[int, tuple[int, bool]] = {}
            for row in self._rows(partition, advance, self.check):
                key, whole = TOTALS.hashes(row.texts)
                newest[key] = (whole, row.version <= self.cut.get(partition, 0))
            for key, (whole, counts) in newest.items():
                if counts:
                    buckets.append(key >> KEY_SHIFT)
                    hashes.append(whole)
        return sums_of(np.array(hashes, np.uint64), np.array(buckets, np.int64))

    def _rows(self, partition: int, advance: Advance, check: Check) -> Iterator[Row]:
        start = self.period.start.strftime(_FORMAT) if self.period.start else ""
        end = self.period.end.strftime(_FORMAT) if self.period.end else "~"
        unreadable: list[Difference] = []
        for message in steps(self.topics.read(TOPIC, partition, *self.ends[partition]), advance):
            if message.key == PROGRESS_KEY or message.value is None:
                continue
            for row in rows_of(TOTALS, message, unreadable):
                if start <= row.texts[_HOUR] < end:
                    yield row
        check.add(unreadable, self.limit)

    def _drill(self, wrong: list[int]) -> None:
        """Each total in the buckets that differ; the topic is read again."""
        buckets, aside = set(wrong), Check("", "", "")
        newest: dict[tuple[str, ...], Row] = {}
        for partition in self.ends:
            for row in self._rows(partition, lambda _step: None, aside):
                if TOTALS.hashes(row.texts)[0] >> KEY_SHIFT in buckets:
                    newest[TOTALS.key_of(row.texts)] = row
        numbers = ", ".join(str(bucket) for bucket in wrong)
        found = {
            TOTALS.key_of(texts): list(texts)
            for (texts,) in self.warehouse.rows(
                f"SELECT {TOTALS.texts_sql} FROM usage_totals FINAL "
                f"WHERE {_BUCKET} IN ({numbers}) AND {hours(self.period, 'hour')}"
            )
        }
        for key in sorted(newest.keys() | found.keys()):
            self._compare(key, newest.get(key), found.get(key))

    def _compare(self, key: tuple[str, ...], row: Row | None, texts: list[str] | None) -> None:
        cut = self.cut.get(int(key[-1]), 0)
        expected = TOTALS.fields(row.texts) if row else None
        found = TOTALS.fields(texts) if texts else None
        newest = max(int(side["version"]) for side in (expected, found) if side)
        if expected != found and newest <= cut:
            kind = "different" if row and texts else "missing in ClickHouse" if row else "only in ClickHouse"
            self.check.add([Difference(kind, TOTALS.key_fields(key), expected, found)], self.limit)
