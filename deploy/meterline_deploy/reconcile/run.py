"""The whole reconciliation, in order: how far, wait for ClickHouse, read the topics, compare."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from meterline_deploy.reconcile import check_answers, check_lines, check_progress, check_topic, check_totals
from meterline_deploy.reconcile.check_rows import Expected, RowCheck
from meterline_deploy.reconcile.check_topic import TopicCheck
from meterline_deploy.reconcile.collect import collect_rows, collect_sources
from meterline_deploy.reconcile.erasures import QUERY, erasures_of, shape_of_events
from meterline_deploy.reconcile.kafka import Topics
from meterline_deploy.reconcile.report import Check, PartitionLine, Report
from meterline_deploy.reconcile.scope import TOTALS, PartitionScope, find
from meterline_deploy.reconcile.shapes import REJECTS
from meterline_deploy.reconcile.times import ALL_TIME, Period
from meterline_deploy.reconcile.warehouse import Warehouse
from meterline_schemas.settings import ClickHouseSettings, KafkaSettings


class Steps(Protocol):
    """Told what is being done, and of how many records, while it is done."""

    def start(self, what: str, total: int) -> None: ...

    def advance(self, step: int) -> None: ...


@dataclass(frozen=True)
class Asked:
    """``wait`` seconds for ClickHouse to be written; at most ``limit`` differences of each check are listed."""

    period: Period = ALL_TIME
    wait: float = 30.0
    limit: int = 100


def reconcile(kafka: KafkaSettings, clickhouse: ClickHouseSettings, asked: Asked, steps: Steps) -> Report:
    """Compare everything.

    Raises:
        UnavailableError: Kafka or ClickHouse does not answer.
        ConfigurationError: how to reach them is wrong.
    """
    with _open(kafka, clickhouse) as (topics, raw_topics, warehouse):
        return _Run(topics, raw_topics, warehouse, asked, steps).run()


@contextmanager
def _open(kafka: KafkaSettings, clickhouse: ClickHouseSettings) -> Iterator[tuple[Topics, Topics, Warehouse]]:
    warehouse = Warehouse(clickhouse)
    topics, raw_topics = Topics(kafka), Topics(kafka, uncommitted=True)
    try:
        yield topics, raw_topics, warehouse
    finally:
        topics.close()
        raw_topics.close()
        warehouse.close()


class _Run:
    def __init__(self, topics: Topics, raw_topics: Topics, warehouse: Warehouse, asked: Asked, steps: Steps) -> None:
        self._topics = topics
        self._raw_topics = raw_topics
        self._warehouse = warehouse
        self._asked = asked
        self._steps = steps

    def run(self) -> Report:
        limit, period = self._asked.limit, self._asked.period
        self._steps.start("finding how far everything is", 0)
        scopes = find(self._topics, period)
        ends = {scope.partition: scope.events[1] for scope in scopes}
        totals_ends = {scope.partition: self._topics.bounds(TOTALS, scope.partition) for scope in scopes}
        progress = check_progress.new_check()
        self._steps.start("waiting for ClickHouse to be written", 0)
        written = self._warehouse.wait_until_written(check_progress.wanted(scopes), self._asked.wait)
        check_progress.check_progress(scopes, written, self._asked.wait, limit, progress)
        cut = check_progress.cut(scopes, written)

        lines, events, rejects = self._topic_checks(scopes, cut, ends)
        hours = period.whole_hours()
        self._steps.start("folding the hours again", 0)
        totals = check_totals.new_check()
        wait = self._asked.wait if progress.exact else 0
        check_totals.check_totals(self._warehouse, cut, hours, limit, wait, totals)
        still_known = check_topic.kept(hours, totals_ends, datetime.now(UTC))
        self._steps.start("reading usage.totals", sum(end - start for start, end in totals_ends.values()))
        of_topic = TopicCheck(self._topics, self._warehouse, cut, totals_ends, still_known, limit)
        topic = of_topic.run(self._steps.advance)
        if still_known != hours:
            topic.notes.append(f"of {still_known}: what was written before that the topic no longer has")
        self._steps.start("folding the late events again", 0)
        late = check_answers.new_late_check()
        check_answers.check_answers(self._warehouse, cut, hours, limit, late, check_answers.LATE)
        self._steps.start("comparing the answers", 0)
        answers = check_answers.new_check()
        check_answers.check_answers(self._warehouse, cut, hours, limit, answers)
        return Report(
            [_partition_line(scope) for scope in scopes],
            [progress, lines, events, rejects, totals, topic, late, answers],
        )

    def _topic_checks(
        self, scopes: list[PartitionScope], cut: dict[int, int], ends: dict[int, int]
    ) -> tuple[Check, Check, Check]:
        limit, advance = self._asked.limit, self._steps.advance
        erasures = erasures_of(self._warehouse.rows(QUERY))
        shape = shape_of_events(erasures)
        lines = check_lines.new_check()
        self._steps.start("reading usage.events", sum(scope.events[1] - scope.lines_from for scope in scopes))
        sources = collect_sources(self._raw_topics, scopes, advance)
        read = sum(part.end - part.start for scope in scopes for part in (scope.accepted, scope.rejected))
        self._steps.start("reading usage.accepted and usage.rejected", read)
        events: dict[int, Expected] = {}
        rejects: dict[int, Expected] = {}
        for scope in scopes:
            number = scope.partition
            slices = [scope.slices(part, cut[number]) for part in (scope.accepted, scope.rejected)]
            accepted = collect_rows(self._topics, shape, number, scope.accepted, slices[0], advance)
            rejected = collect_rows(self._topics, REJECTS, number, scope.rejected, slices[1], advance)
            check_lines.check_partition(lines, scope, sources, accepted, rejected, self._topics, limit)
            events[number] = Expected.of(scope.accepted, accepted)
            rejects[number] = Expected.of(scope.rejected, rejected)
        self._steps.start("comparing rows", 0)
        of_events = RowCheck(shape, self._topics, self._warehouse, limit).run(events, ends)
        of_events.notes += [f"tenant {tenant}: subjects and properties were erased on purpose" for tenant in erasures]
        return (
            lines,
            of_events,
            RowCheck(REJECTS, self._topics, self._warehouse, limit).run(rejects, ends),
        )


def _partition_line(scope: PartitionScope) -> PartitionLine:
    newest = scope.newest
    return PartitionLine(
        partition=scope.partition,
        watermark=newest.next_offset,
        lines=newest.lines,
        accepted=newest.accepted,
        late=newest.late,
        rejected=newest.rejected,
        forwarded=newest.forwarded,
        lines_from=scope.lines_from,
        rows_from=scope.accepted.since.next_offset,
        unjudged=scope.unjudged,
    )
