"""A thread that keeps the counters up to date with ``usage.counters``."""

from __future__ import annotations

from collections.abc import Callable

from meterline_api import follower
from meterline_api.quotas.counters import Counters


class Follower(follower.Follower):
    """Reads the topic into ``counters`` as it grows, until ``stop``.

    ``partitions`` is 0 until the catalog says how many there are: it waits for that, because a counter stands only
    where its tenant is at home.
    """

    def __init__(self, counters: Counters, tail: follower.Tail, partitions: Callable[[], int]) -> None:
        def may_begin() -> bool:
            counters.partitions = partitions()
            return counters.partitions > 0

        apply = follower.one_by_one(lambda record: counters.apply(record.partition, record.key, record.value))
        super().__init__("counters", tail, apply, "the counters of quotas have not been read yet", may_begin)
