"""The whole replay: find, leave out what counts already or cannot count yet, send, wait for Kafka's answers.

A line is sent with the bytes that it came with, and so with its id and timestamp: however often it is replayed, its
event counts once. Within the horizon the stream's index of ids sees to that, beyond it the key of the table of events.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Final

from meterline_deploy.catalog import read_catalog
from meterline_deploy.reconcile.kafka import Topics
from meterline_deploy.reconcile.run import Steps
from meterline_deploy.reconcile.warehouse import Warehouse
from meterline_deploy.replay.asked import Asked
from meterline_deploy.replay.lines import Place, Rejected, RejectedLines, counted
from meterline_deploy.replay.sending import Sending, TenantLine
from meterline_schemas.catalog import Metric
from meterline_schemas.replaying import EventKey, Skipped, weigh
from meterline_schemas.settings import ClickHouseSettings, JudgeSettings, KafkaSettings

EXAMPLES: Final = 10


@dataclass
class Outcome:
    """``found`` distinct lines, of which ``chosen`` were sent (or would be), and ``replayed`` acknowledged.

    ``beyond`` counts those past the limit. ``undefined`` names metrics and ``undefined_tenants`` tenants that are
    still unknown, and ``lost`` places of lines that cannot be replayed, some of each.
    """

    found: int = 0
    chosen: int = 0
    replayed: int = 0
    beyond: int = 0
    skipped: Counter[Skipped] = field(default_factory=Counter)
    undefined: set[str] = field(default_factory=set)
    undefined_tenants: set[str] = field(default_factory=set)
    lost: list[tuple[Place, Skipped]] = field(default_factory=list)
    trouble: str = ""

    def skip(self, why: Skipped, each: Rejected) -> None:
        self.skipped[why] += 1
        if why is Skipped.STILL_UNKNOWN and len(self.undefined) < EXAMPLES:
            self.undefined.add(each.metric)
        elif why is Skipped.TENANT_STILL_UNKNOWN and len(self.undefined_tenants) < EXAMPLES:
            self.undefined_tenants.add(each.tenant_id)
        elif why in (Skipped.LOST, Skipped.NO_EVENT, Skipped.STILL_OUT_OF_RANGE) and len(self.lost) < EXAMPLES:
            self.lost.append((each.place, why))


async def replay(
    kafka: KafkaSettings,
    clickhouse: ClickHouseSettings,
    judge: JudgeSettings,
    asked: Asked,
    steps: Steps,
    *,
    dry_run: bool = False,
    timeout: float = 30.0,
) -> Outcome:
    """Send what was asked for again, and say what became of each line. ``dry_run``: send nothing.

    Raises:
        ConfigurationError: how to reach Kafka or ClickHouse is wrong, or the topics were never made.
        UnavailableError: one of them does not answer.
    """
    book = read_catalog(kafka)
    warehouse, topics = Warehouse(clickhouse), Topics(kafka)
    sending = None if dry_run else Sending(kafka, timeout)
    try:
        steps.start("finding rejected lines", 0)
        lines = RejectedLines(warehouse, topics, asked)
        if sending is not None and len(lines):
            await sending.reach()
        steps.start("replaying", len(lines))
        return await _Run(lines, warehouse, book.metrics, judge.counted(book.tenants), asked.limit, sending).run(steps)
    finally:
        if sending is not None:
            await sending.close()
        topics.close()
        warehouse.close()


class _Run:
    def __init__(
        self,
        lines: RejectedLines,
        warehouse: Warehouse,
        metrics: Mapping[str, Metric],
        tenants: Set[str] | None,
        limit: int | None,
        sending: Sending | None,
    ) -> None:
        self._lines = lines
        self._warehouse = warehouse
        self._metrics = metrics
        self._tenants = tenants
        self._limit = limit
        self._sending = sending
        self._outcome = Outcome(found=len(lines))

    async def run(self, steps: Steps) -> Outcome:
        outcome = self._outcome
        done = 0
        for page in self._lines.pages():
            if outcome.chosen == self._limit:
                break
            chosen = list(self._choose(page))
            done += len(page)
            if self._limit is not None:
                room = self._limit - outcome.chosen
                outcome.beyond += len(chosen[room:])
                chosen = chosen[:room]
            outcome.chosen += len(chosen)
            if self._sending is not None and chosen:
                acknowledged = await self._sending.send(chosen)
                outcome.replayed += acknowledged
                if acknowledged < len(chosen):
                    outcome.trouble = self._sending.trouble or "Kafka did not acknowledge in time"
                    break
            steps.advance(len(page))
        outcome.beyond += outcome.found - done
        return outcome

    def _choose(self, page: list[Rejected]) -> Iterator[TenantLine]:
        """The lines of a page that are to be sent."""
        events: list[tuple[EventKey, Rejected]] = []
        for each in page:
            found = Skipped.LOST if each.line is None else weigh(each.line, self._metrics, self._tenants)
            if isinstance(found, Skipped):
                self._outcome.skip(found, each)
            else:
                events.append((found, each))
        there = counted(self._warehouse, [key for key, _each in events])
        for key, each in events:
            if key in there:
                self._outcome.skip(Skipped.COUNTED, each)
            elif each.line is not None:
                yield key.tenant_id, each.line
