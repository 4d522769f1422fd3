"""Counters and alerts, by values alone: equal to a plain recount under any cut and crash, each step told once."""

from __future__ import annotations

import copy
from collections import Counter as Tally
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meterline_schemas.catalog import Book, Entry, Metric, Quota, Tenant, Threshold
from meterline_schemas.counter import SURELY_KNOWN, Base, Counter
from meterline_schemas.event import AcceptedEvent
from meterline_schemas.notification import Notification, ThresholdCrossed
from meterline_schemas.partitioning import partition_of
from meterline_schemas.quantity import NANO
from meterline_streams.counters import CLOSE_AFTER, Counters
from meterline_streams.limits import Limits
from meterline_streams.outputs import counters as records_of
from meterline_streams.outputs import restore_counters
from meterline_streams.windows import Changed, Hours, fold

NOW = datetime(2026, 11, 10, 12, tzinfo=UTC)
MONTH = datetime(2026, 11, 1, tzinfo=UTC)
BEFORE = MONTH - timedelta(days=30)
AGGREGATIONS = ("count", "sum", "avg", "min", "max", "last")


def book_of(*entries: Entry, changed_at: datetime = BEFORE) -> Book:
    book = Book()
    for entry in entries:
        stamped = entry.stamped(1, changed_at)
        assert book.apply(stamped.record_key, stamped.encode()) is None
    return book


def metric(key: str, aggregation: str, **more: Any) -> Metric:
    return Metric.model_validate({"key": key, "aggregation": aggregation, **more})


def threshold(id: str, metric: str, **more: Any) -> Threshold:
    return Threshold.model_validate({"id": id, "metric": metric, **more})


def quota(metric: str, included: Any, **more: Any) -> Quota:
    return Quota.model_validate({"metric": metric, "included": included, **more})


def event(
    offset: int,
    metric: str,
    quantity: int,
    timestamp: datetime,
    tenant: str = "t",
    subject: str = "",
    late: bool = False,
) -> Any:
    id = f"e{offset:06d}"
    accepted = AcceptedEvent(
        tenant, metric, timestamp, id, str(quantity), 0, offset, 0, timestamp, subject=subject, late=int(late)
    )
    return accepted, quantity * NANO


@dataclass
class Stream:
    """A partition's counters, what was committed of them, and everything that was ever committed to be told."""

    limits: Limits
    counters: Counters = field(default_factory=lambda: Counters(0, 1))
    hours: Hours = field(default_factory=dict)
    committed_hours: Hours = field(default_factory=dict)
    committed: dict[bytes, bytes] = field(default_factory=dict)
    told: list[Notification] = field(default_factory=list)

    def checkpoint(
        self,
        events: Sequence[Any],
        *,
        offset: int = 0,
        now: datetime = NOW,
        began: datetime | None = None,
        cut: int = 3,
        bases: Sequence[Base] = (),
    ) -> None:
        written = self.attempt(events, offset=offset, now=now, began=began, cut=cut, bases=bases)
        self.committed_hours = copy.deepcopy(self.hours)
        for key, value, notifications in written:
            if notifications is not None:
                self.told.append(notifications)
            elif value is None:
                self.committed.pop(key, None)
            else:
                self.committed[key] = value

    def attempt(
        self,
        events: Sequence[Any],
        *,
        offset: int,
        now: datetime,
        began: datetime | None = None,
        cut: int,
        bases: Sequence[Base] = (),
    ) -> list[tuple[bytes, bytes | None, Notification | None]]:
        """What a checkpoint would write, not written: what a crash before the commit leaves.

        ``began`` is when the first of its records was appended, if that is not ``now``, when the last one was.
        """
        self.counters.begin(self.limits, offset, now, began or now)
        changed: list[Changed] = []
        for start in range(0, len(events), cut):
            batch = events[start : start + cut]
            accepted, quantities = [e for e, _ in batch], [q for _, q in batch]
            version = events[-1][0].kafka_offset + 1
            changed += fold(self.hours, {}, accepted, quantities, version)
            self.counters.count_events(accepted, quantities, version)
        self.counters.count_hours(changed)
        self.counters.add_bases(bases)
        written = []
        for topic, key, value in records_of(self.counters.settle(now)):
            assert key is not None
            note = msgspec.json.decode(value or b"", type=Notification) if topic.endswith("notifications") else None
            written.append((key, value, note))
        return written

    def crash(self) -> None:
        """Only what was committed is left."""
        self.counters = Counters(0, 1)
        self.hours = copy.deepcopy(self.committed_hours)
        restore_counters(self.counters, self.committed.items())

    def found(self) -> list[Counter]:
        return [msgspec.json.decode(value, type=Counter) for value in self.committed.values()]

    def steps(self) -> list[tuple[str, str, str, str]]:
        """(type, metric, threshold, step) of everything of thresholds that was told, in order."""
        found = []
        for note in self.told:
            if note.type.startswith("threshold."):
                data = msgspec.json.decode(note.data, type=ThresholdCrossed)
                found.append((note.type.value, data.metric, data.threshold_id, data.step))
        return found


def value_of(aggregation: str, quantities: Sequence[int], in_time: Sequence[tuple[datetime, str, int]]) -> Fraction:
    """Independent of the code under test."""
    match aggregation:
        case "count":
            return Fraction(len(quantities))
        case "sum":
            return Fraction(sum(quantities))
        case "avg":
            return Fraction(sum(quantities), len(quantities))
        case "min":
            return Fraction(min(quantities))
        case "max":
            return Fraction(max(quantities))
        case _:
            return Fraction(max(in_time)[2])


drawn = st.lists(
    st.tuples(
        st.sampled_from(AGGREGATIONS),
        st.integers(-5, 40),
        st.integers(-40, 9 * 24).map(lambda hours: MONTH + timedelta(hours=hours)),
        st.sampled_from(["", "user:a", "user:b"]),
        st.booleans(),
    ),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(drawn, st.lists(st.tuples(st.integers(1, 12), st.integers(1, 4), st.booleans()), min_size=1, max_size=12))
def test_every_step_is_told_once_and_every_counter_is_right_under_any_cut_and_crash(
    drawn: list[tuple[str, int, datetime, str, bool]], cuts: list[tuple[int, int, bool]]
) -> None:
    metrics = [metric(name, name, allow_negative=True) for name in AGGREGATIONS]
    limits = [threshold(f"th-{name}", name, amount=50, steps=[50, 100]) for name in AGGREGATIONS]
    of_user = [threshold("th-user", "sum", tenant_id="t", subject="user:a", amount=20, steps=[100])]
    stream = Stream(Limits(book_of(*metrics, *limits, *of_user), 1))
    events = [event(n, name, q, at, subject=subject, late=late) for n, (name, q, at, subject, late) in enumerate(drawn)]
    expected: set[tuple[str, str]] = set()
    done = turn = 0
    while done < len(events):
        size, cut, crashes = cuts[turn % len(cuts)]
        turn += 1
        batch = events[done : done + size]
        if crashes:
            stream.attempt(batch, offset=done, now=NOW, cut=cut)
            stream.crash()
        stream.checkpoint(batch, offset=done, cut=cut)
        done += len(batch)
        expected |= _crossed([e for e, _ in events[:done]])
    fired = [(kind, step) for _type, kind, _threshold, step in _crossings(stream)]
    assert Tally(fired) == Tally(expected), "each step once"
    counted = {(c.metric, c.subject): c for c in stream.found() if c.start == MONTH}
    for name in AGGREGATIONS:
        mine = [e for e, _ in events if e.metric == name and e.timestamp >= MONTH]
        if mine:
            assert counted[name, ""].count == len(mine)
            assert Decimal(counted[name, ""].sum) == sum(int(e.quantity) for e in mine)


def _crossed(events: Sequence[AcceptedEvent]) -> set[tuple[str, str]]:
    found = set()
    for name in AGGREGATIONS:
        mine = [e for e in events if e.metric == name and e.timestamp >= MONTH]
        if mine:
            value = value_of(
                name, [int(e.quantity) for e in mine], [(e.timestamp, e.id, int(e.quantity)) for e in mine]
            )
            found |= {(name, step) for step in ("50", "100") if value >= Fraction(50 * int(step), 100)}
    of_user = [int(e.quantity) for e in events if e.metric == "sum" and e.subject == "user:a" and e.timestamp >= MONTH]
    if of_user and sum(of_user) >= 20:
        found.add(("sum user:a", "100"))
    return found


def _crossings(stream: Stream) -> list[tuple[str, str, str, str]]:
    found = []
    for type, name, id, step in stream.steps():
        if type in ("threshold.approaching", "threshold.exceeded"):
            found.append((type, f"{name} user:a" if id == "th-user" else name, id, step))
    billing = [note for note in stream.told if note.type == "billing.threshold_exceeded"]
    assert len(billing) == len(found), "the other form goes out beside each"
    assert len({note.id for note in stream.told}) == len(stream.told)
    return found


@settings(max_examples=200, deadline=None)
@given(drawn, st.integers(0, 40), st.booleans())
def test_a_limit_made_in_the_midst_of_a_period_counts_what_was_before(
    drawn: list[tuple[str, int, datetime, str, bool]], since: int, crashes: bool
) -> None:
    metrics = [metric(name, name, allow_negative=True) for name in AGGREGATIONS]
    events = [event(n, name, q, at, subject=subject, late=late) for n, (name, q, at, subject, late) in enumerate(drawn)]
    since = min(since, len(events))
    stream = Stream(Limits(book_of(*metrics), 1))
    if since:
        stream.checkpoint(events[:since])
    assert stream.found() == []
    own = [threshold(f"th-{name}", name, tenant_id="t", amount=50, steps=[50, 100]) for name in AGGREGATIONS]
    stream.limits = Limits(book_of(*metrics, *own, changed_at=NOW), 1)
    stream.checkpoint([], offset=since)
    counters = stream.found()
    assert len(counters) == len(AGGREGATIONS), "they are there although no event came"
    assert all(counter.complete is (since == 0) for counter in counters)
    if since < len(events):
        stream.checkpoint(events[since:], offset=since)
    if crashes:
        stream.crash()
        stream.checkpoint([], offset=len(events))
    bases = [_base(counter, events) for counter in stream.found()]
    stream.checkpoint([], offset=len(events), bases=[*bases, *bases])
    stream.checkpoint([], offset=len(events), bases=bases)
    for counter in stream.found():
        mine = [e for e, _ in events if e.metric == counter.metric and counter.start <= e.timestamp < counter.end]
        if counter.start == MONTH:
            assert counter.complete
            assert counter.count == len(mine)
            assert Decimal(counter.sum) == sum(int(e.quantity) for e in mine)
    at_last = _crossed([e for e, _ in events])
    fired = {(name, step) for _type, name, _id, step in _crossings(stream)}
    assert {found for found in at_last if "user" not in found[0]} <= fired


def _base(counter: Counter, events: Sequence[Any]) -> Base:
    mine = [
        e
        for e, _ in events
        if e.metric == counter.metric and counter.start <= e.timestamp < counter.end and e.kafka_offset < counter.since
    ]
    quantities = [int(e.quantity) for e in mine]
    last = max(mine, key=lambda e: (e.timestamp, e.id), default=None)
    return Base(
        tenant_id=counter.tenant_id,
        metric=counter.metric,
        subject=counter.subject,
        calendar=counter.calendar,
        start=counter.start,
        since=counter.since,
        count=len(mine),
        sum=str(sum(quantities)),
        min=str(min(quantities, default=0)),
        max=str(max(quantities, default=0)),
        last=last.quantity if last else "0",
        last_timestamp=last.timestamp if last else None,
        last_id=last.id if last else "",
    )


def test_a_base_of_another_beginning_is_passed_over() -> None:
    own = quota("sum", 100, tenant_id="t")
    stream = Stream(Limits(book_of(metric("sum", "sum"), own, changed_at=NOW), 1))
    stream.checkpoint([], offset=5)
    (counter,) = stream.found()
    base = _base(counter, [event(0, "sum", 3, NOW)])
    stream.checkpoint([], offset=5, bases=[msgspec.structs.replace(base, since=4)])
    assert [(found.count, found.complete) for found in stream.found()] == [(0, False)]
    stream.checkpoint([], offset=5, bases=[base])
    assert [(found.count, found.complete) for found in stream.found()] == [(1, True)]


def test_a_limit_for_all_takes_those_who_are_active_at_once_and_others_with_their_next_event() -> None:
    stream = Stream(Limits(book_of(metric("sum", "sum")), 1))
    stream.checkpoint([event(0, "sum", 10, NOW, tenant="active"), event(1, "sum", 10, NOW, tenant="quiet")])
    stream.limits = Limits(book_of(metric("sum", "sum"), threshold("th", "sum", amount=10), changed_at=NOW), 1)
    stream.counters.begin(stream.limits, 2, NOW, NOW, active=[("active", "sum")])
    stream.checkpoint([], offset=2)
    (counter,) = stream.found()
    assert (counter.tenant_id, counter.count, counter.complete) == ("active", 0, False)
    stream.checkpoint([event(2, "sum", 1, NOW, tenant="quiet")], offset=2)
    assert {found.tenant_id: found.since for found in stream.found()} == {"active": 2, "quiet": 2}


@pytest.mark.parametrize("crashes", [False, True])
def test_who_falls_back_to_a_limit_for_all_is_counted_from_the_beginning_of_its_period(crashes: bool) -> None:
    for_all = [metric("sum", "sum"), quota("sum", 100, period="monthly")]
    stream = Stream(Limits(book_of(*for_all, quota("sum", 5, tenant_id="t", period="daily")), 1))
    stream.checkpoint([event(0, "sum", 10, NOW)])
    stream.limits = Limits(book_of(*for_all), 1)
    if crashes:
        stream.crash()
    stream.checkpoint([event(1, "sum", 10, NOW)], offset=1)
    (counter,) = stream.found()
    assert (counter.calendar, counter.since, counter.complete, counter.count) == ("monthly", 1, False, 1)


def test_of_a_limit_that_is_raised_the_steps_are_over_and_told_again_at_the_new_one() -> None:
    entries = [metric("sum", "sum"), threshold("th", "sum")]
    stream = Stream(Limits(book_of(*entries, quota("sum", 100)), 1))
    stream.checkpoint([event(0, "sum", 90, NOW)])
    stream.checkpoint([event(1, "sum", 30, NOW)], offset=1)
    assert [(t, s) for t, _m, _id, s in stream.steps()] == [
        ("threshold.approaching", "80"),
        ("threshold.exceeded", "100"),
    ]
    stream.told.clear()
    stream.limits = Limits(book_of(*entries, quota("sum", 140)), 1)
    stream.checkpoint([], offset=2)
    assert [(t, s) for t, _m, _id, s in stream.steps()] == [("threshold.resolved", "100")], (
        "80 % of 140 is reached still"
    )
    stream.checkpoint([event(2, "sum", 20, NOW)], offset=2)
    assert [(t, s) for t, _m, _id, s in stream.steps()][1:] == [("threshold.exceeded", "100")]


def test_when_a_period_ends_its_steps_are_over_and_the_next_begins_at_nothing() -> None:
    stream = Stream(Limits(book_of(metric("sum", "sum"), threshold("th", "sum", amount=10)), 1))
    stream.checkpoint([event(0, "sum", 10, NOW)])
    end = datetime(2026, 12, 1, tzinfo=UTC)
    assert not stream.counters.is_due(stream.limits, end)
    assert stream.counters.is_due(stream.limits, end + CLOSE_AFTER)
    stream.told.clear()
    stream.checkpoint([], offset=1, now=end + CLOSE_AFTER)
    assert stream.committed == {}
    reasons = [msgspec.json.decode(note.data)["reason"] for note in stream.told]
    assert reasons == ["period_ended", "period_ended"]
    stream.checkpoint([event(1, "sum", 10, NOW)], offset=1, now=end + CLOSE_AFTER)
    assert stream.found() == [], "what comes for a closed period counts for the bill alone"
    stream.checkpoint([event(2, "sum", 10, end)], offset=2, now=end + CLOSE_AFTER)
    assert [counter.complete for counter in stream.found()] == [True]
    assert [t for t, *_ in stream.steps()][2:] == ["threshold.approaching", "threshold.exceeded"]


def test_a_threshold_that_is_deleted_is_over_whether_the_worker_ran_or_not() -> None:
    entries = [metric("sum", "sum"), metric("count", "count")]
    own = [threshold("th", "sum", amount=10, steps=[100])]
    for crashes in (False, True):
        stream = Stream(Limits(book_of(*entries, *own), 1))
        stream.checkpoint([event(0, "sum", 10, NOW)])
        if crashes:
            stream.crash()
        stream.limits = Limits(book_of(*entries), 1)
        stream.checkpoint([], offset=1)
        assert stream.committed == {}
        assert [t for t, *_ in stream.steps()] == ["threshold.exceeded", "threshold.resolved"]


def test_a_tenant_of_another_partition_is_not_counted_here() -> None:
    tenant = next(f"t{n}" for n in range(100) if partition_of(f"t{n}", 2) == 1)
    stream = Stream(Limits(book_of(metric("sum", "sum"), quota("sum", 1)), 2), Counters(0, 2))
    stream.checkpoint([event(0, "sum", 10, NOW, tenant=tenant)])
    assert stream.found() == []


def test_a_gauge_holds_its_level_into_the_next_period() -> None:
    stream = Stream(
        Limits(book_of(metric("gb", "time_weighted"), quota("gb", 5), threshold("th", "gb", steps=[100])), 1)
    )
    stream.checkpoint([event(0, "gb", 6, NOW)])
    end = datetime(2026, 12, 1, tzinfo=UTC)
    stream.checkpoint([], offset=1, now=end + CLOSE_AFTER)
    (counter,) = stream.found()
    assert (counter.start, counter.last, counter.count, counter.complete) == (end, "6", 0, True)
    assert [t for t, *_ in stream.steps()] == ["threshold.exceeded", "threshold.resolved", "threshold.exceeded"]


HOUR = timedelta(hours=1)


@pytest.mark.parametrize("crashes", [False, True])
@pytest.mark.parametrize("cuts", [[1, 2, 3], [3]])
def test_a_backlog_from_before_the_end_of_a_period_alerts_of_it_before_it_is_closed(
    cuts: list[int], crashes: bool
) -> None:
    entries = [metric("sum", "sum"), quota("sum", 10, period="hourly"), threshold("th", "sum", steps=[100])]
    stream = Stream(Limits(book_of(*entries), 1))
    stream.checkpoint([event(0, "sum", 5, NOW)])
    if crashes:
        stream.crash()
    backlog = [
        (NOW + timedelta(minutes=50), event(1, "sum", 50, NOW + timedelta(minutes=50))),
        (NOW + timedelta(minutes=62), event(2, "sum", 3, NOW + timedelta(minutes=59))),
        (NOW + 3 * HOUR, event(3, "sum", 20, NOW + 3 * HOUR)),
    ]
    start = 0
    for cut in cuts:  # the worker's own clock says three o'clock and later all the time
        batch = backlog[start:cut]
        stream.checkpoint([e for _, e in batch], offset=start + 1, began=batch[0][0], now=batch[-1][0])
        start = cut
    assert [t for t, *_ in stream.steps()] == ["threshold.exceeded", "threshold.resolved", "threshold.exceeded"]
    usages = [msgspec.json.decode(n.data)["usage"] for n in stream.told if n.type.startswith("threshold.")]
    assert usages == (["55", "58", "20"] if len(cuts) == 3 else ["58", "58", "20"])


def gauge(period: str = "hourly") -> Stream:
    entries = [metric("gb", "time_weighted"), quota("gb", 100, period=period), threshold("th", "gb", steps=[100])]
    return Stream(Limits(book_of(*entries), 1))


def levels(stream: Stream) -> dict[int, str]:
    return {counter.start.hour: counter.last for counter in stream.found()}


def test_a_gauge_has_its_level_from_the_first_moment_of_a_period() -> None:
    stream = gauge()
    stream.checkpoint([event(0, "gb", 500, NOW)])
    assert stream.counters.is_due(stream.limits, NOW + HOUR)
    stream.checkpoint([], offset=1, now=NOW + HOUR)
    assert levels(stream) == {12: "500", 13: "500"}
    assert not stream.counters.is_due(stream.limits, NOW + HOUR)
    stream.checkpoint([event(1, "gb", 7, NOW + HOUR - timedelta(seconds=1))], offset=1, now=NOW + HOUR)
    stream.checkpoint([], offset=2, now=NOW + HOUR + CLOSE_AFTER)
    assert levels(stream) == {13: "7"}, "a reading of the hour before that came after it"


def test_of_two_periods_of_a_gauge_that_end_together_the_later_reading_holds() -> None:
    stream = gauge()
    stream.checkpoint([event(0, "gb", 5, NOW)])
    stream.checkpoint([event(1, "gb", 999, NOW + HOUR)], offset=1, now=NOW + HOUR)
    stream.crash()
    stream.checkpoint([], offset=2, now=NOW + 3 * HOUR)
    assert levels(stream) == {15: "999"}


@pytest.mark.parametrize("late", [False, True])
def test_a_reading_for_a_closed_period_is_the_level_unless_there_is_a_later_one(late: bool) -> None:
    stream = gauge()
    stream.checkpoint([event(0, "gb", 5, NOW)])
    stream.checkpoint([], offset=1, now=NOW + 3 * HOUR)
    for minutes, shown in ((30, "30"), (20, "30"), (50, "50")):
        reading = event(minutes, "gb", minutes, NOW + timedelta(minutes=minutes), late=late)
        stream.checkpoint([reading], offset=minutes, now=NOW + 3 * HOUR)
        assert levels(stream) == {15: shown}


def test_a_base_brings_the_level_that_holds_from_before_the_period() -> None:
    own = quota("gb", 100, tenant_id="t", period="hourly")
    stream = Stream(Limits(book_of(metric("gb", "time_weighted"), own, changed_at=NOW), 1))
    stream.checkpoint([], offset=5)
    (counter,) = stream.found()
    base = msgspec.structs.replace(_base(counter, []), last="70", last_timestamp=NOW - 20 * HOUR, last_id="x")
    stream.checkpoint([], offset=5, bases=[base])
    (counter,) = stream.found()
    assert (counter.last, counter.count, counter.complete) == ("70", 0, True)


def test_a_limit_that_does_not_concern_a_counter_does_not_write_it_again() -> None:
    entries = [metric("sum", "sum"), threshold("th", "sum", amount=10)]
    stream = Stream(Limits(book_of(*entries), 1))
    stream.checkpoint([event(n, "sum", 5, NOW, tenant=f"t{n}") for n in range(5)])
    stream.committed.clear()
    stream.limits = Limits(book_of(*entries, quota("sum", 5, tenant_id="t3")), 1)
    stream.checkpoint([], offset=5)
    assert stream.found() == []
    stream.limits = Limits(book_of(*entries, threshold("own", "sum", tenant_id="t3", amount=5)), 1)
    stream.checkpoint([], offset=5)
    assert [counter.tenant_id for counter in stream.found()] == ["t3"], "it has reached the new one"


def test_of_a_threshold_with_another_calendar_it_is_said_that_its_period_changed() -> None:
    entries = [metric("sum", "sum"), threshold("th", "sum", amount=10, steps=[100])]
    stream = Stream(Limits(book_of(*entries), 1))
    stream.checkpoint([event(0, "sum", 10, NOW)])
    zone = threshold("th", "sum", amount=10, steps=[100], time_zone="Europe/Vienna")
    stream.limits = Limits(book_of(entries[0], zone), 1)
    stream.checkpoint([], offset=1)
    assert [msgspec.json.decode(note.data).get("reason") for note in stream.told[2:]] == ["period_changed"]


def test_who_was_shadowed_by_a_threshold_without_a_limit_is_counted_from_the_beginning() -> None:
    for_all = [metric("sum", "sum"), threshold("all", "sum", amount=100)]
    stream = Stream(Limits(book_of(*for_all, threshold("own", "sum", tenant_id="t")), 1))
    stream.checkpoint([event(0, "sum", 90, NOW)])
    assert stream.found() == []
    stream.limits = Limits(book_of(*for_all), 1)
    stream.checkpoint([event(1, "sum", 1, NOW)], offset=1)
    assert [(c.sum, c.since, c.complete) for c in stream.found()] == [("1", 1, False)]


def test_own_limits_go_before_those_for_all_and_calendars_are_the_tenants() -> None:
    entries = [
        metric("sum", "sum"),
        quota("sum", 100, period="billing"),
        quota("sum", 7, tenant_id="own"),
        threshold("all", "sum"),
        Tenant(id="late", billing_anchor=15, time_zone="Europe/Vienna"),
    ]
    limits = Limits(book_of(*entries), 1)
    (of_all,) = limits.watches(("t", "sum", ""))
    (of_own,) = limits.watches(("own", "sum", ""))
    (of_late,) = limits.watches(("late", "sum", ""))
    assert [watch.name for watch in (of_all, of_own, of_late)] == ["billing@1", "monthly", "billing@15 Europe/Vienna"]
    assert [step.level for step in of_own.steps] == [5_600_000_000, 7 * NANO]
    assert of_all.known_since == BEFORE + SURELY_KNOWN


@pytest.mark.parametrize(("price", "used", "cost"), [("0.05", 75, "1.25"), (None, 75, None), ("0.05", 50, "0")])
def test_what_lies_beyond_a_quota_costs_its_price(price: str | None, used: int, cost: str | None) -> None:
    more = {} if price is None else {"price_per_unit": price, "currency": "USD"}
    stream = Stream(Limits(book_of(metric("sum", "sum"), quota("sum", 50, **more), threshold("th", "sum")), 1))
    stream.checkpoint([event(0, "sum", used, NOW)])
    crossed, billing = [note for note in stream.told if note.type != "threshold.approaching"][-2:]
    assert msgspec.json.decode(crossed.data).get("estimated_cost") == cost
    assert msgspec.json.decode(billing.data)["currentUsage"] == used
