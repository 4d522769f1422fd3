"""A thread that looks at Kafka, the consumer groups and ClickHouse every few seconds, so that health costs nothing."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from meterline_api import metrics
from meterline_api.clickhouse import ClickHouse
from meterline_api.offsets import Offsets
from meterline_api.standstill import Partition, Standstill, lag
from meterline_schemas.errors import UnavailableError
from meterline_schemas.topics import ACCEPTED, EVENTS, REJECTED, TOTALS

log = logging.getLogger(__name__)

_LOOK_EVERY: Final = 0.1
# that events take; names without prefix
_WAY: Final = (("streams", (EVENTS,)), ("sinks", (ACCEPTED, REJECTED, TOTALS)))


@dataclass
class Group:
    """A consumer group, the topics that it reads, and how it was at the last look."""

    name: str
    topics: Sequence[str]
    standstill: Standstill
    lag: int | None = None
    stuck: list[Partition] = field(default_factory=list)

    def detail(self) -> dict[str, Any]:
        detail: dict[str, Any] = {"group": self.name, "lag": self.lag, "progressing": not self.stuck}
        if self.stuck:
            named = ", ".join(f"{topic}[{number}]" for topic, number in self.stuck[:8])
            detail["problem"] = f"offsets stand still although records wait: {named}; is the process running?"
        return detail


class Watch(threading.Thread):
    """Looks every ``seconds`` until ``stop``. ``groups`` by the name that health shows."""

    def __init__(self, offsets: Offsets, clickhouse: ClickHouse, groups: Mapping[str, Group], seconds: float) -> None:
        super().__init__(name="watch", daemon=True)
        self._offsets = offsets
        self._clickhouse = clickhouse
        self._seconds = seconds
        self._stopping = threading.Event()
        self.groups = groups
        self._told = {"Kafka": False, "ClickHouse": False}
        self.kafka_trouble = "Kafka has not been looked at yet"
        self.clickhouse_trouble = "ClickHouse has not been looked at yet"

    def run(self) -> None:
        while not self._stopping.is_set():
            self.look()
            self._stopping.wait(self._seconds)
        self._offsets.close()

    def stop(self) -> None:
        self._stopping.set()

    def look(self) -> None:
        """One look at everything."""
        before = self.kafka_trouble, self.clickhouse_trouble
        try:
            for group in self.groups.values():
                self._look_at(group)
            self.kafka_trouble = ""
        except UnavailableError as error:
            self.kafka_trouble = str(error)
            self._offsets.renew()
        try:
            self._clickhouse.rows_now("SELECT 1")
            self.clickhouse_trouble = ""
        except UnavailableError as error:
            self.clickhouse_trouble = str(error)
        after = self.kafka_trouble, self.clickhouse_trouble
        for name, old, new in zip(("Kafka", "ClickHouse"), before, after, strict=True):
            if new and not self._told[name]:
                log.warning("%s", new)
            elif old and not new:
                log.info("%s answers", name)
            self._told[name] = bool(new)

    def passed_on(self, seconds: float) -> bool:
        """Whether ClickHouse gets, within ``seconds``, all that is in ``usage.events`` now. Asked of Kafka afresh.

        Raises:
            UnavailableError: Kafka does not answer.
        """
        deadline = time.monotonic() + seconds
        for name, topics in _WAY:
            group = self.groups[name]
            partitions = self._offsets.partitions([topic for topic in group.topics if topic.endswith(topics)])
            ends = self._offsets.ends(partitions, undecided=True)
            while lag(self._offsets.committed(group.name, partitions), ends):
                if time.monotonic() >= deadline:
                    return False
                time.sleep(_LOOK_EVERY)
        return True

    def _look_at(self, group: Group) -> None:
        partitions = self._offsets.partitions(group.topics)
        # committed first: an end that is read later can only show more lag, never less than none
        committed = self._offsets.committed(group.name, partitions)
        ends = self._offsets.ends(partitions)
        now = time.monotonic()
        group.standstill.observe(now, committed, ends)
        group.stuck = group.standstill.stuck(now)
        group.lag = lag(committed, ends)
        metrics.LAG.labels(group.name).set(group.lag)
