"""A thread that completes counters which began in the midst of their period.

1. take the incomplete counters whose earlier events are all in ClickHouse: ``usage_progress`` has passed ``since``;
2. compute what these events come to, the counters of one partition, metric and period in one query;
3. write a ``Base`` for each to ``usage.bases``, acknowledged; the stream adds it and writes the counter as complete.

Several processes may do the same: offsets are fixed, so each computes the same values, and the stream adds one of them.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from meterline_api.quotas.counters import Counters
from meterline_api.quotas.publisher import Keyed
from meterline_api.quotas.recount import MOST_SCOPES, SETTINGS, Scope, Span, build, read
from meterline_schemas import topics
from meterline_schemas.counter import Base, Counter, CounterKey, Parts
from meterline_schemas.errors import UnavailableError

log = logging.getLogger(__name__)

_AGAIN_AFTER: Final = 60.0  # seconds: so long nothing is written twice, and then it may have got lost
_PROGRESS: Final = (
    "SELECT kafka_partition, max(next_offset) FROM usage_progress WHERE topic = {topic:String} GROUP BY kafka_partition"
)
_encode: Final = msgspec.json.Encoder().encode


class Tables(Protocol):
    def rows_now(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        settings: Mapping[str, str | int] | None = None,
    ) -> Sequence[Sequence[Any]]: ...
    def close(self) -> None: ...


class Topic(Protocol):
    def publish(self, records: Iterable[Keyed]) -> None: ...


class Bases(threading.Thread):
    """Looks every ``seconds`` until ``stop``, once ``ready`` says that the counters are those that there are.

    ``is_gauge`` is asked of metrics. ``tables`` are its own: it closes them when it ends.
    """

    def __init__(
        self,
        counters: Counters,
        ready: Callable[[], bool],
        is_gauge: Callable[[str], bool],
        tables: Tables,
        topic: Topic,
        seconds: float = 0.5,
    ) -> None:
        super().__init__(name="bases", daemon=True)
        self._counters = counters
        self._ready = ready
        self._is_gauge = is_gauge
        self._tables = tables
        self._topic = topic
        self._seconds = seconds
        self._stopping = threading.Event()
        self._written: dict[CounterKey, tuple[int, float]] = {}  # since, and when it was written
        self._trouble = ""

    def run(self) -> None:
        while not self._stopping.wait(self._seconds):
            if not self._ready():
                continue
            try:
                self.look()
                if self._trouble:
                    log.info("counters that began within their period are completed again")
                self._trouble = ""
            except UnavailableError as error:
                if not self._trouble:
                    log.warning("counters that began within their period stay provisional: %s", error)
                self._trouble = str(error)
        self._tables.close()

    def stop(self) -> None:
        self._stopping.set()

    def look(self) -> int:
        """Write the bases that can be computed now; how many.

        Raises:
            UnavailableError: Kafka or ClickHouse does not answer; look again.
        """
        now = time.monotonic()
        waiting = self._waiting(now)
        if not waiting:
            return 0
        found = self._tables.rows_now(_PROGRESS, {"topic": topics.ACCEPTED})
        reached = {int(partition): int(offset) for partition, offset in found}
        due = [counter for counter in waiting if counter.since <= reached.get(counter.kafka_partition, 0)]
        for span, counters in groups(due, self._is_gauge):
            sql, parameters = build(span, [scope(counter) for counter in counters])
            parts = read(self._tables.rows_now(sql, parameters, SETTINGS), len(counters))
            self._topic.publish(record(*pair) for pair in zip(counters, parts, strict=True))
            self._written.update({counter.key: (counter.since, now) for counter in counters})
        return len(due)

    def _waiting(self, now: float) -> list[Counter]:
        """Counters without a base; what is known of those that need none any more is let go of."""
        incomplete = {counter.key: counter for counter in self._counters.incomplete()}
        self._written = {
            key: (since, at)
            for key, (since, at) in self._written.items()
            if key in incomplete and incomplete[key].since == since and now - at < _AGAIN_AFTER
        }
        return [counter for key, counter in incomplete.items() if key not in self._written]


def groups(counters: Iterable[Counter], is_gauge: Callable[[str], bool]) -> Iterator[tuple[Span, list[Counter]]]:
    """Counters that one statement answers for, at most ``MOST_SCOPES`` together."""
    spans: dict[Span, list[Counter]] = {}
    for counter in counters:
        span = Span(counter.kafka_partition, counter.metric, counter.start, counter.end, is_gauge(counter.metric))
        spans.setdefault(span, []).append(counter)
    for span, found in spans.items():
        for first in range(0, len(found), MOST_SCOPES):
            yield span, found[first : first + MOST_SCOPES]


def scope(counter: Counter) -> Scope:
    return Scope(counter.tenant_id, counter.subject, counter.since)


def record(counter: Counter, parts: Parts) -> Keyed:
    """The base of a counter as a record."""
    key = counter.key
    base = Base(since=counter.since, **key._asdict(), **msgspec.structs.asdict(parts))
    return Keyed(counter.kafka_partition, key.record_key(), _encode(base))
