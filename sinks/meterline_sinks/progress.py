"""Whether a consumer makes progress. Pure: what is committed, where the log ends, and the time."""

from __future__ import annotations

from collections.abc import Mapping

from meterline_sinks.batch import Partition


class ProgressCheck:
    """Stuck: a partition has more to read and its committed offset has stood still for longer than ``limit`` seconds.

    The same holds for a partition that ends before what was committed: it was made anew, or lost its end.
    Where the ends of the log cannot be read for as long, that is stuck as well: nobody can say that there is no lag.
    So is a process that the group has dealt nothing for as long, not even that there is nothing for it.
    """

    def __init__(self, limit: float, now: float) -> None:
        self._limit = limit
        self._behind_since: dict[Partition, tuple[int, float]] = {}  # committed offset, since when it is behind
        self._ends: Mapping[Partition, int] = {}
        self._seen_at = now
        self._apart_since: float | None = None  # since when it has no part in the group

    def observe(
        self, now: float, committed: Mapping[Partition, int], ends: Mapping[Partition, int], *, assigned: bool = True
    ) -> None:
        """Note the state at ``now`` (seconds of a clock that never goes back) of the partitions owned.

        ``assigned``: the group has dealt its partitions, which may be none for this process.
        """
        self._seen_at = now
        if assigned:
            self._apart_since = None
        elif self._apart_since is None:
            self._apart_since = now
        self._ends = ends
        behind: dict[Partition, tuple[int, float]] = {}
        for partition, offset in committed.items():
            if ends.get(partition, offset) != offset:
                before = self._behind_since.get(partition)
                behind[partition] = before if before is not None and before[0] == offset else (offset, now)
        self._behind_since = behind

    def stuck(self, now: float) -> str | None:
        """Why it counts as stuck, or None."""
        unseen = now - self._seen_at
        if unseen > self._limit:
            return f"the ends of the topics could not be read for {unseen:.0f} s: is Kafka running?"
        if self._apart_since is not None and now - self._apart_since > self._limit:
            return (
                f"the consumer group has dealt this process no partitions for {now - self._apart_since:.0f} s: "
                "is Kafka running, and may it join the group?"
            )
        for (topic, partition), (offset, since) in sorted(self._behind_since.items()):
            if now - since > self._limit:
                end = self._ends[topic, partition]
                return f"{topic}[{partition}] has stood at offset {offset} for {now - since:.0f} s but ends at {end}"
        return None
