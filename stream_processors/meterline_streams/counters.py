"""Counters of what is limited: usage of a tenant or subject in the running period, late events included.

The walk: what a checkpoint added to an hour is added to the counters of the periods that the hour lies in, so that an
event costs nothing more. Late events, which are in no hour, and those of subjects and of zones whose periods begin
within an hour, are counted one by one. With each checkpoint the counters that changed are held against their limits,
once, and written; those whose period has ended are closed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Final, NamedTuple

import msgspec

from meterline_schemas.catalog import Aggregation
from meterline_schemas.catalog.book import Scope
from meterline_schemas.counter import Base, Counter, CounterKey, Fired
from meterline_schemas.event import AcceptedEvent
from meterline_schemas.notification import Notification
from meterline_schemas.partitioning import partition_of
from meterline_schemas.periods import FIRST, LAST
from meterline_schemas.quantity import exact_nano, format_nano
from meterline_streams import alerts
from meterline_streams.limits import Limits, Watch
from meterline_streams.windows import Changed, Pair, hour_start

CLOSE_AFTER: Final = timedelta(minutes=5)
"""A period is closed so long after its end, in the time of the log: what comes later counts for the bill alone."""


@dataclass(slots=True)
class Running:
    """A counter in memory, in nano-units. ``fired``: (threshold, step) to the limit that the step was of."""

    start: datetime
    end: datetime
    since: int
    complete: bool
    count: int = 0
    sum: int = 0
    min: int = 0
    max: int = 0
    last: int = 0
    last_timestamp: datetime = FIRST
    last_id: str = ""
    version: int = 0
    fired: dict[tuple[str, str], str] = field(default_factory=dict)
    waiting: bool = False  # for the next checkpoint
    held_on: bool = False  # a gauge's level is in the period after
    record_key: bytes = b""
    record_head: str = ""  # of its record: what never changes


@dataclass(slots=True)
class Lane:
    """One scope in one calendar, with the counters of its open periods; ``current`` is the one last counted into."""

    scope: Scope
    watch: Watch
    runs: list[Running] = field(default_factory=list)
    current: Running | None = None

    def key(self, run: Running) -> CounterKey:
        return CounterKey(*self.scope, self.watch.name, run.start)

    def due(self, run: Running) -> datetime:
        """When something is to be done about a counter because of the time: a level held on, or the period closed."""
        if run.end == LAST:
            return LAST
        return run.end if self.is_gauge and not run.held_on else run.end + CLOSE_AFTER

    @property
    def is_gauge(self) -> bool:
        """Whether a reading holds until the next one, periods or not."""
        return self.watch.aggregation is Aggregation.TIME_WEIGHTED


class Lanes(NamedTuple):
    """The lanes of a tenant and metric: of the tenant, by hours or by events, and of its subjects that are watched."""

    by_hours: tuple[Lane, ...]
    by_events: tuple[Lane, ...]
    subjects: Mapping[str, tuple[Lane, ...]]

    def of(self, subject: str) -> tuple[Lane, ...]:
        """Those of a subject, or of the tenant where it is empty."""
        return self.subjects.get(subject, ()) if subject else (*self.by_hours, *self.by_events)

    def runs(self) -> Iterator[tuple[Lane, Running]]:
        """Every counter, with its lane."""
        for lanes in (self.by_hours, self.by_events, *self.subjects.values()):
            for lane in lanes:
                for run in lane.runs:
                    yield lane, run


class Settled(NamedTuple):
    """What a checkpoint writes: records of changed counters, the keys of closed ones, and what is to be told."""

    counters: list[tuple[bytes, bytes]]
    closed: list[bytes]
    notifications: list[Notification]


_encode: Final = msgspec.json.Encoder().encode
_NOBODY: Final = Lanes((), (), {})


class Counters:
    """The counters of one partition."""

    def __init__(self, partition: int, partitions: int) -> None:
        self._partition = partition
        self._partitions = partitions
        self._limits: Limits | None = None
        self._lanes: dict[Pair, Lanes] = {}
        self._waiting: list[tuple[Lane, Running]] = []
        self._unchecked: list[tuple[Lane, Running]] = []  # against new limits
        self._gone: list[tuple[Lane, Running]] = []  # of limits that are no more
        self._restored: dict[tuple[Scope, str], list[Running]] = {}
        self._incomplete: list[tuple[Lane, Running]] = []
        self._next_due = LAST
        self._offset = 0
        self._now = self._reached = FIRST

    @property
    def incomplete(self) -> bool:
        """Whether a counter waits for its base."""
        return bool(self._incomplete)

    def is_due(self, limits: Limits, now: datetime) -> bool:
        """Whether there is something to settle although no event came."""
        return limits is not self._limits or self.ends(now) or bool(self._waiting)

    def ends(self, at: datetime) -> bool:
        """Whether a period has ended by then that is not closed."""
        return at >= self._next_due

    def begin(self, limits: Limits, offset: int, now: datetime, reached: datetime, active: Iterable[Pair] = ()) -> None:
        """Begin a checkpoint at ``offset``. Where ``limits`` are new, counters that are still watched go on under them.

        Counters are made at once for scopes with limits of their own and, of limits for all, for pairs that are
        ``active``, in the period of ``now``; for others with their next event. ``reached`` is the time up to which the
        log was judged before: it decides which periods are closed, so that an outage costs no alert.
        """
        self._offset, self._now = offset, now
        self._reached = max(self._reached, reached)
        if limits is self._limits:
            return
        before, self._limits = self._limits, limits
        self._put_back()
        for scope in {lane.scope for lane, _run in self._gone}:
            for lane in self._lanes_of(scope[:2]).of(scope[2]):
                if not lane.runs:  # it was counted under another calendar until now
                    self._add_run(lane, *lane.watch.calendar.bounds(self._now), known=False)
        for scope in limits.scopes(self._partition):
            for lane in self._lanes_of(scope[:2]).of(scope[2]):
                self._run_of(lane, self._now)
        for pair in before.own - limits.own if before is not None else ():
            for lane in self._lanes_of(pair).of(""):
                if not lane.runs:  # an own threshold without a limit stood in the place of those for all until now
                    self._add_run(lane, *lane.watch.calendar.bounds(self._now), known=False)
        for pair in active:
            if pair[1] in limits.metrics_for_all:
                for lane in self._lanes_of(pair).of(""):
                    self._run_of(lane, self._now)
        self._look_for_due()

    def _put_back(self) -> None:
        """Every counter into the lane of its scope and calendar; those without one are to end."""
        limits = self._limits
        assert limits is not None  # noqa: S101
        for lane, run in self._all():
            self._restored.setdefault((lane.scope, lane.watch.name), []).append(run)
        scopes = [scope for scope, _calendar in self._restored]
        self._lanes, self._waiting = {}, []
        for tenant, metric, _subject in scopes:
            self._lanes_of((tenant, metric))
        for (scope, calendar), runs in self._restored.items():
            lane = Lane(scope, limits.nothing(scope[1], calendar), runs)
            self._gone += [(lane, run) for run in runs]
        self._restored = {}
        everything = list(self._all())
        self._incomplete = [(lane, run) for lane, run in everything if not run.complete]
        self._unchecked = everything
        for _lane, run in everything:
            run.waiting = False

    def count_hours(self, changed: Iterable[Changed]) -> None:
        """Add what a checkpoint added to hours to the counters of their periods."""
        limits = self._limits
        if limits is None or not limits.metrics:
            return
        followed, found = limits.metrics, self._lanes
        for pair, hour, cell, count, total in changed:
            if pair[1] not in followed:
                continue
            lanes = found.get(pair) or self._lanes_of(pair)
            for lane in lanes.by_hours:
                start = hour_start(hour)
                run = lane.current
                if run is None or not run.start <= start < run.end:
                    run = self._run_of(lane, start)
                    if run is None:
                        self._raise_level(lane, cell.last_timestamp, cell.last_id, cell.last, cell.version)
                        continue
                # least, greatest and last are those of the hour, which may have begun before the counter did: what
                # came before is in its period as well, and a base that brings it again changes nothing
                if run.count == 0 or cell.min < run.min:
                    run.min = cell.min
                if run.count == 0 or cell.max > run.max:
                    run.max = cell.max
                last = cell.last_timestamp
                if last > run.last_timestamp or (last == run.last_timestamp and cell.last_id > run.last_id):
                    run.last, run.last_timestamp, run.last_id = cell.last, last, cell.last_id
                run.count += cell.count - count
                run.sum += cell.sum - total
                run.version = cell.version
                if not run.waiting:
                    self._wait(lane, run)

    def count_events(self, events: Sequence[AcceptedEvent], quantities: Iterable[int], version: int) -> None:
        """Count those of a batch that the hours do not tell of; ``version`` is that of its checkpoint."""
        limits = self._limits
        if limits is None or not limits.metrics:
            return
        by_event, followed = limits.metrics_by_event, limits.metrics
        if not by_event and not any(map(attrgetter("late"), events)):
            return
        for event, quantity in zip(events, quantities, strict=True):
            if event.metric not in (followed if event.late else by_event):
                continue
            lanes = self._lanes_of((event.tenant_id, event.metric))
            for lane in lanes.of("") if event.late else lanes.by_events:
                self._count_into(lane, event, quantity, version)
            for lane in lanes.subjects.get(event.subject, ()):
                self._count_into(lane, event, quantity, version)

    def add_bases(self, bases: Iterable[Base]) -> None:
        """Complete the counters that these are for; bases of others are passed over."""
        incomplete = {lane.key(run): (lane, run) for lane, run in self._incomplete}
        for base in bases:
            lane, run = incomplete.get(base.key, (None, None))
            if lane is None or run is None or run.complete or base.since != run.since:
                continue
            _merge(run, base)
            run.complete = True
            self._wait(lane, run)
        self._incomplete = [(lane, run) for lane, run in self._incomplete if not run.complete]

    def settle(self, reached: datetime) -> Settled:
        """Hold what changed against its limits, and close what has ended now that the log is judged up to ``reached``.

        What a period came to is held against its limits before it is closed.
        """
        now, limits = self._now, self._limits
        assert limits is not None  # noqa: S101
        self._reached = max(self._reached, reached)
        settled = Settled([], [], [])
        ended = self._end() if self.ends(self._reached) else []
        for lane, run in ended:
            settled.notifications.extend(alerts.of(lane, run, now))
            settled.notifications.extend(alerts.resolved(lane, run, now, lambda _threshold: "period_ended"))
            settled.closed.append(lane.key(run).record_key())
        for lane, run in self._gone:
            settled.notifications.extend(alerts.resolved(lane, run, now, limits.reason))
            settled.closed.append(lane.key(run).record_key())
        self._gone = []
        for lane, run in self._unchecked:
            if not run.waiting and (told := alerts.of(lane, run, now)):
                settled.notifications.extend(told)
                self._wait(lane, run)
        self._unchecked = []
        for lane, run in self._waiting:
            run.waiting = False
            settled.notifications.extend(alerts.of(lane, run, now))
            settled.counters.append(self._record(lane, run))
        self._waiting = []
        return settled

    def restore(self, counter: Counter) -> None:
        """Take back what was written; ``begin`` puts it in its place."""
        run = Running(
            counter.start,
            counter.end,
            counter.since,
            counter.complete,
            counter.count,
            exact_nano(counter.sum),
            exact_nano(counter.min),
            exact_nano(counter.max),
            exact_nano(counter.last),
            counter.last_timestamp or FIRST,
            counter.last_id,
            counter.version,
            {(fired.threshold_id, fired.step): fired.limit for fired in counter.fired},
        )
        scope = (counter.tenant_id, counter.metric, counter.subject)
        self._restored.setdefault((scope, counter.calendar), []).append(run)
        self._next_due = min(self._next_due, run.end)

    def _count_into(self, lane: Lane, event: AcceptedEvent, quantity: int, version: int) -> None:
        run, timestamp = lane.current, event.timestamp
        if run is None or not run.start <= timestamp < run.end:
            run = self._run_of(lane, timestamp)
            if run is None:
                self._raise_level(lane, timestamp, event.id, quantity, version)
                return
        run.version = version
        if run.count == 0:
            run.min = run.max = quantity
        run.count += 1
        run.sum += quantity
        if quantity < run.min:
            run.min = quantity
        elif quantity > run.max:
            run.max = quantity
        if timestamp > run.last_timestamp or (timestamp == run.last_timestamp and event.id > run.last_id):
            run.last, run.last_timestamp, run.last_id = quantity, timestamp, event.id
        if not run.waiting:
            self._wait(lane, run)

    def _run_of(self, lane: Lane, timestamp: datetime) -> Running | None:
        """The counter of the period that ``timestamp`` lies in; None where that is closed."""
        for run in lane.runs:
            if run.start <= timestamp < run.end:
                lane.current = run
                return run
        start, end = lane.watch.calendar.bounds(timestamp)
        if end != LAST and end + CLOSE_AFTER <= self._reached:
            return None
        known = start >= lane.watch.known_since
        if lane.is_gauge:  # whose level is from before
            known = known and all(run.complete for run in lane.runs)
        return self._add_run(lane, start, end, known=known)

    def _add_run(self, lane: Lane, start: datetime, end: datetime, *, known: bool) -> Running:
        """A new counter; ``known``: whether all of its period was and will be counted."""
        run = Running(start, end, self._offset, complete=known or self._offset == 0)
        lane.runs.append(run)
        lane.current = run
        self._wait(lane, run)
        if not run.complete:
            self._incomplete.append((lane, run))
        self._next_due = min(self._next_due, lane.due(run))
        return run

    def _lanes_of(self, pair: Pair) -> Lanes:
        limits = self._limits
        assert limits is not None  # noqa: S101 - nothing is counted before limits are adopted
        found = self._lanes.get(pair)
        if found is not None:
            return found
        tenant, metric = pair
        found = _NOBODY
        if partition_of(tenant, self._partitions) == self._partition:
            whole = self._lanes_for((tenant, metric, ""))
            subjects = {
                subject: self._lanes_for((tenant, metric, subject)) for subject in limits.subjects(tenant, metric)
            }
            if whole or subjects:
                by_hours = tuple(lane for lane in whole if lane.watch.of_hours)
                found = Lanes(by_hours, tuple(lane for lane in whole if not lane.watch.of_hours), subjects)
        self._lanes[pair] = found
        return found

    def _lanes_for(self, scope: Scope) -> tuple[Lane, ...]:
        limits = self._limits
        assert limits is not None  # noqa: S101
        return tuple(Lane(scope, watch, self._restored.pop((scope, watch.name), [])) for watch in limits.watches(scope))

    def _end(self) -> list[tuple[Lane, Running]]:
        """Hold levels on, and take out the counters whose periods are to be closed."""
        ended = []
        for lane, run in [found for found in self._all() if found[0].due(found[1]) <= self._reached]:
            if lane.is_gauge:
                run.held_on = True
                self._hold_level(lane, run)
            if lane.due(run) <= self._reached:
                lane.runs.remove(run)
                if lane.current is run:
                    lane.current = None
                ended.append((lane, run))
        self._lanes = {pair: lanes for pair, lanes in self._lanes.items() if any(lanes.runs())}
        gone = {id(run) for _lane, run in ended}
        for waiting in (self._waiting, self._unchecked, self._incomplete):
            waiting[:] = [found for found in waiting if id(found[1]) not in gone]
        self._look_for_due()
        return ended

    def _hold_level(self, lane: Lane, before: Running) -> None:
        """A gauge's reading holds on in the period of now."""
        run = self._run_of(lane, self._reached)
        if run is None or run is before:
            return
        if before.complete and not run.complete:
            run.complete = True
            self._incomplete = [found for found in self._incomplete if found[1] is not run]
            self._wait(lane, run)
        if before.last_id:
            self._raise_level(lane, before.last_timestamp, before.last_id, before.last, before.version)

    def _raise_level(self, lane: Lane, timestamp: datetime, id: str, quantity: int, version: int) -> None:
        """A reading of a gauge from a period before stands in the one of now, unless there is a later one."""
        run = self._run_of(lane, self._reached) if lane.is_gauge else None
        if run is not None and (timestamp, id) > (run.last_timestamp, run.last_id):
            run.last, run.last_timestamp, run.last_id = quantity, timestamp, id
            run.version = max(run.version, version)
            self._wait(lane, run)

    def _wait(self, lane: Lane, run: Running) -> None:
        if not run.waiting:
            run.waiting = True
            self._waiting.append((lane, run))

    def _all(self) -> Iterable[tuple[Lane, Running]]:
        for lanes in self._lanes.values():
            yield from lanes.runs()

    def _look_for_due(self) -> None:
        self._next_due = min((lane.due(run) for lane, run in self._all()), default=LAST)

    def _record(self, lane: Lane, run: Running) -> tuple[bytes, bytes]:
        """The record of a counter: a ``Counter`` as JSON, put together by hand, since there are many of them."""
        if not run.record_key:
            key = lane.key(run)
            run.record_key = key.record_key()
            fixed = {**key._asdict(), "end": run.end, "kafka_partition": self._partition, "since": run.since}
            run.record_head = _encode(fixed)[:-1].decode()
        last = f'"{run.last_timestamp.isoformat()}"' if run.last_id else "null"
        fired = _encode([Fired(*key, limit) for key, limit in run.fired.items()]).decode() if run.fired else "[]"
        value = (
            f'{run.record_head},"version":{run.version},"complete":{"true" if run.complete else "false"},'
            f'"count":{run.count},"sum":"{format_nano(run.sum)}","min":"{format_nano(run.min)}",'
            f'"max":"{format_nano(run.max)}","last":"{format_nano(run.last)}","last_timestamp":{last},'
            f'"last_id":{_encode(run.last_id).decode()},"fired":{fired}}}'
        )
        return run.record_key, value.encode()


def _merge(run: Running, base: Base) -> None:
    if base.count:
        least, most = exact_nano(base.min), exact_nano(base.max)
        run.min = min(run.min, least) if run.count else least
        run.max = max(run.max, most) if run.count else most
        run.count += base.count
        run.sum += exact_nano(base.sum)
    if base.last_timestamp is not None and (base.last_timestamp, base.last_id) > (run.last_timestamp, run.last_id):
        run.last, run.last_timestamp, run.last_id = exact_nano(base.last), base.last_timestamp, base.last_id
