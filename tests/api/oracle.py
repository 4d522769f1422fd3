"""What every aggregation must answer, counted apart: plain Python over the events, in fractions."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from meterline_schemas.catalog import Aggregation, Metric

HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Reading:
    """One accepted line. ``offset`` says which of two lines of one event was first."""

    tenant_id: str
    metric: str
    timestamp: datetime
    id: str
    quantity: Decimal
    subject: str = ""
    source: str = ""
    color: str | None = None
    late: bool = False
    offset: int = 0

    def line(self) -> bytes:
        fields = {
            "tenant_id": self.tenant_id,
            "metric": self.metric,
            "timestamp": self.timestamp.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
            "id": self.id,
            "quantity": format(self.quantity, "f"),
            "subject": self.subject,
            "source": self.source,
            "properties": {} if self.color is None else {"color": self.color},
            "late": int(self.late),
            "kafka_partition": 0,
            "kafka_offset": self.offset,
            "kafka_line": 0,
            "received_at": "2026-11-01T00:00:00Z",
        }
        return json.dumps(fields).encode()


def distinct(lines: Iterable[Reading]) -> list[Reading]:
    """Each event once: on time before late, then the first that came."""
    best: dict[tuple[str, str, datetime, str], Reading] = {}
    for line in lines:
        key = (line.tenant_id, line.metric, line.timestamp, line.id)
        if key not in best or (line.late, line.offset) < (best[key].late, best[key].offset):
            best[key] = line
    return list(best.values())


def totals(events: Iterable[Reading]) -> list[bytes]:
    """Records of usage.totals over the events that are on time."""
    hours: dict[tuple[str, str, datetime], list[Reading]] = defaultdict(list)
    for event in events:
        if not event.late:
            hours[event.tenant_id, event.metric, floor(event.timestamp, "hour")].append(event)
    made = []
    for (tenant_id, metric, hour), group in hours.items():
        last = max(group, key=lambda event: (event.timestamp, event.id))
        nano = sum(int(Fraction(event.quantity) * 10**9) for event in group)
        made.append(
            json.dumps(
                {
                    "tenant_id": tenant_id,
                    "metric": metric,
                    "hour": hour.strftime("%Y-%m-%dT%H:%M:%SZ"),
                    "kafka_partition": 0,
                    "version": 1,
                    "count": len(group),
                    "sum": plain(Fraction(nano, 10**9)),
                    "min": format(min(event.quantity for event in group), "f"),
                    "max": format(max(event.quantity for event in group), "f"),
                    "last": format(last.quantity, "f"),
                    "last_timestamp": last.timestamp.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
                    "last_id": last.id,
                }
            ).encode()
        )
    return made


def plain(value: Fraction) -> str:
    """At the ninth decimal, half to even, as the shortest plain decimal."""
    nano = round(value * 10**9)
    whole, fraction = divmod(abs(nano), 10**9)
    text = f"{'-' if nano < 0 else ''}{whole}.{fraction:09d}"
    return text.rstrip("0").rstrip(".")


def floor(at: datetime, window: str) -> datetime:
    hour = at.replace(minute=0, second=0, microsecond=0)
    return {"hour": hour, "day": hour.replace(hour=0), "month": hour.replace(hour=0, day=1)}[window]


def following(at: datetime, window: str) -> datetime:
    return floor(at + {"hour": HOUR, "day": timedelta(days=1), "month": timedelta(days=31)}[window], window)


def expected(
    events: list[Reading],
    metrics: dict[str, Metric],
    names: tuple[str, ...],
    window: str | None,
    start: datetime,
    end: datetime,
    now: datetime,
    bounds: list[tuple[datetime, datetime]] | None = None,
) -> dict[tuple[Any, ...], tuple[int, str]]:
    """Count and value by start of the window, metric and ``names``. ``bounds`` are the windows where they are known."""
    bounds = bounds or [(start, end)]
    if window:
        edges = [start]
        while edges[-1] < end:
            edges.append(min(following(edges[-1], window), end))
        bounds = list(itertools.pairwise(edges))
    found: dict[tuple[Any, ...], tuple[int, str]] = {}
    for key, metric in metrics.items():
        mine = [event for event in events if event.metric == key]
        weigh = metric.aggregation is Aggregation.TIME_WEIGHTED
        for first, last in bounds:
            answers = _gauges(mine, names, first, last, now) if weigh else _folds(mine, names, metric, first, last)
            for group, answer in answers.items():
                found[first, key, *group] = answer
    return found


def _folds(
    events: list[Reading], names: tuple[str, ...], metric: Metric, first: datetime, last: datetime
) -> dict[tuple[Any, ...], tuple[int, str]]:
    groups: dict[tuple[Any, ...], list[Reading]] = defaultdict(list)
    for event in events:
        if first <= event.timestamp < last:
            groups[tuple(getattr(event, name) for name in names)].append(event)
    return {key: (len(group), plain(fold(group, metric))) for key, group in groups.items()}


def fold(group: list[Reading], metric: Metric) -> Fraction:
    ordered = sorted(Fraction(event.quantity) for event in group)
    simple: dict[str, Callable[[], Fraction]] = {
        "count": lambda: Fraction(len(group)),
        "sum": lambda: sum(ordered, Fraction(0)),
        "avg": lambda: sum(ordered, Fraction(0)) / len(ordered),
        "min": lambda: ordered[0],
        "max": lambda: ordered[-1],
        "last": lambda: Fraction(max(group, key=lambda event: (event.timestamp, event.id)).quantity),
    }
    if metric.aggregation in simple:
        return simple[metric.aggregation]()
    if metric.aggregation is Aggregation.UNIQUE_COUNT:
        by_subject = metric.unique_by == "subject"
        values = {(e.tenant_id, e.subject or None) if by_subject else (e.tenant_id, e.color) for e in group}
        return Fraction(len({value for value in values if value[1] is not None}))
    wanted = Fraction(int(metric.aggregation[1:]), 100) * len(ordered)
    return next(value for rank, value in enumerate(ordered, 1) if rank >= wanted)


def _gauges(
    events: list[Reading], names: tuple[str, ...], first: datetime, last: datetime, now: datetime
) -> dict[tuple[Any, ...], tuple[int, str]]:
    """Every millisecond belongs to the reading that stands then: the last of its gauge before it."""
    until = min(last, now)
    held: dict[tuple[Any, ...], Fraction] = {}
    counts: dict[tuple[Any, ...], int] = defaultdict(int)
    gauges: dict[tuple[str, str], list[Reading]] = defaultdict(list)
    for event in events:
        gauges[event.tenant_id, event.subject].append(event)
    for readings in gauges.values():
        readings.sort(key=lambda event: (event.timestamp, event.id))
        for place, event in enumerate(readings):
            ends = readings[place + 1].timestamp if place + 1 < len(readings) else until
            began, ended = max(event.timestamp, first), min(ends, until)
            counted = first <= event.timestamp < until
            if counted or began < ended:
                key = tuple(getattr(event, name) for name in names)
                hours = Fraction(max(ended - began, timedelta()) // timedelta(milliseconds=1), 3_600_000)
                held[key] = held.get(key, Fraction(0)) + Fraction(event.quantity) * hours
                counts[key] += counted
    return {key: (counts[key], plain(value)) for key, value in held.items()}


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]
