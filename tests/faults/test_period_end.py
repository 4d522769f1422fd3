"""A period is closed when the log is judged up to its end, and not because the clock of a worker says so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock
from types import SimpleNamespace
from typing import Any

import pytest

from meterline_schemas import topics
from meterline_schemas.catalog import Book, Metric, Threshold
from meterline_streams.judge import SourceRecord
from meterline_streams.limits import Limits
from meterline_streams.partition import Partition
from meterline_streams.settings import StreamSettings
from tests.support import cluster
from tests.support.streams import Streams

pytestmark = pytest.mark.faults


@contextmanager
def opened(streams: Streams, limits: Limits, book: Book) -> Iterator[Partition]:
    settings = StreamSettings(kafka=streams.bootstrap, topic_prefix=streams.prefix)
    catalog: Any = SimpleNamespace(limits=limits, book=book, refresh=lambda: None)
    forwarder: Any = SimpleNamespace(deliver=lambda _number, _lines: None)
    with closing(Partition(settings, 0, 1, catalog, forwarder, Lock())) as partition:
        partition.open()
        yield partition


def test_events_that_an_outage_kept_waiting_alert_of_the_period_that_has_ended(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    book = Book()
    for entry in (
        Metric.model_validate({"key": "orders", "aggregation": "sum"}),
        Threshold.model_validate({"id": "th", "metric": "orders", "amount": 10, "steps": [100], "period": "hourly"}),
    ):
        assert book.apply(entry.record_key, entry.encode()) is None
    limits = Limits(book, 1)
    with Streams(kafka, prefix, tmp_path, partitions=1) as streams:
        hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        lines = [
            b'{"tenant_id":"t","metric":"orders","id":"%d","timestamp":"%s","quantity":"%d"}'
            % (number, hour.isoformat().encode(), quantity)
            for number, quantity in ((1, 5), (2, 50))
        ]
        records = [SourceRecord(n, line, now_ms(), now_ms(), hopped=False) for n, line in enumerate(lines)]
        later = hour + timedelta(hours=5)  # as the worker's clock has it when it is back
        streams.send([(0, lines[0])])
        with opened(streams, limits, book) as partition:
            partition.checkpoint(records[:1], datetime.now(UTC))
        streams.send([(0, lines[1])])
        with opened(streams, limits, book) as partition:
            assert partition.is_due(later)
            partition.checkpoint([], later)
            assert told(streams) == [], "the log has more"
            partition.checkpoint(records[1:], later)
            assert told(streams) == ["threshold.exceeded"]
            partition.checkpoint([], later)
            assert told(streams) == ["threshold.exceeded", "threshold.resolved"]
            assert not partition.is_due(later)


def now_ms() -> int:
    return int(datetime.now(UTC).timestamp() * 1000)


def told(streams: Streams) -> list[str]:
    notes = cluster.read_all(streams.bootstrap, streams.prefix + topics.NOTIFICATIONS)
    return [type for note in notes if (type := json.loads(note.value())["type"]).startswith("threshold.")]
