"""An independent count, in plain Python: json, Decimal, dicts. Shares no code with the pipeline.

It knows the rules of the documentation only: a line counts once per (tenant_id, id); what is not an event, names an
undefined metric, or lies outside the window of event times does not count.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal, getcontext
from typing import Any

from confluent_kafka import Message

from tests.support.cluster import read_all

getcontext().prec = 60

Key = tuple[str, str, str]  # tenant, metric, hour as 2026-11-21T05


@dataclass
class Count:
    """One tenant, metric and hour."""

    count: int = 0
    sum: Decimal = Decimal(0)
    min: Decimal = Decimal("Infinity")
    max: Decimal = Decimal("-Infinity")
    last: tuple[str, str, Decimal] = ("", "", Decimal(0))

    def add(self, quantity: Decimal, timestamp: str, id: str) -> None:
        self.count += 1
        self.sum += quantity
        self.min = min(self.min, quantity)
        self.max = max(self.max, quantity)
        if (timestamp, id) > self.last[:2]:
            self.last = (timestamp, id, quantity)


@dataclass
class Recount:
    """What must come out: answers (all that counts) per key, and the ids behind them."""

    answers: dict[Key, Count] = field(default_factory=lambda: defaultdict(Count))
    ids: set[tuple[str, str]] = field(default_factory=set)
    repeats: int = 0
    invalid: int = 0

    def add(self, line: bytes, metrics: set[str]) -> None:
        event = readable(line, metrics)
        if event is None:
            self.invalid += 1
            return
        identity = (event["tenant_id"], event["id"])
        if identity in self.ids:
            self.repeats += 1
            return
        self.ids.add(identity)
        timestamp = milliseconds(event["timestamp"])
        key = (event["tenant_id"], event["metric"], timestamp[:13])
        self.answers[key].add(Decimal(str(event["quantity"])), timestamp, event["id"])


def milliseconds(timestamp: str) -> str:
    """UTC text cut to milliseconds."""
    moment = datetime.fromisoformat(timestamp.replace("Z", "+00:00")).astimezone(timezone.utc)  # noqa: UP017
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}"


def readable(line: bytes, metrics: set[str]) -> dict[str, Any] | None:
    """The event of a line, or None where it cannot count."""
    try:
        event = json.loads(line, parse_float=Decimal, parse_constant=lambda _text: None)
        quantity = Decimal(str(event["quantity"]))
        moment = datetime.fromisoformat(event["timestamp"].replace("Z", "+00:00"))
        now = datetime.now(timezone.utc)  # noqa: UP017
        counts = (
            all(isinstance(event[name], str) and event[name].isprintable() for name in ("id", "tenant_id", "metric"))
            and event["id"] != ""
            and event["metric"] in metrics
            and 0 <= quantity < 10**18
            and quantity == round(quantity, 9)
            and now - timedelta(days=34) < moment < now + timedelta(minutes=4)
        )
    except (ValueError, KeyError, TypeError, ArithmeticError, AttributeError):
        return None
    return event if counts else None


def lines(value: bytes) -> list[bytes]:
    return [line for line in value.split(b"\n") if line.strip()]


def check_one_verdict_each(bootstrap: str, prefix: str) -> dict[int, int]:
    """Per partition, offset and line exactly one verdict, up to the watermark; returns the watermarks.

    A verdict is an accepted line, a rejected line or a forward (named by the forwarded record's origin header).
    """
    progress: dict[int, dict[str, Any]] = {}
    verdicts: dict[tuple[int, int, int], list[str]] = defaultdict(list)
    for name in ("accepted", "rejected"):
        for message in read_all(bootstrap, f"{prefix}usage.{name}"):
            if message.key() == b"progress":
                progress[message.partition()] = json.loads(message.value())
                continue
            for line in message.value().split(b"\n"):
                row = json.loads(line)
                assert row["kafka_partition"] == message.partition()
                for extra in range(row.get("lines", 1)):
                    verdicts[row["kafka_partition"], row["kafka_offset"], row["kafka_line"] + extra].append(name)
    source: dict[tuple[int, int], int] = {}
    forwarded: set[tuple[int, int, int]] = set()
    for message in read_all(bootstrap, prefix + "usage.events", isolation="read_uncommitted"):
        source[message.partition(), message.offset()] = len(lines(message.value() or b""))
        forwarded |= set(origins(message))
    for key in forwarded:
        verdicts[key].append("forwarded")
    watermarks = {partition: found["next_offset"] for partition, found in progress.items()}
    expected = {
        (partition, offset, line)
        for (partition, offset), count in source.items()
        if offset < watermarks.get(partition, 0)
        for line in range(count)
    }
    found = {key for key in verdicts if key[1] < watermarks.get(key[0], 0)}
    doubled = {key: names for key, names in verdicts.items() if len(names) != 1}
    assert not expected - found, f"lines without a verdict: {sorted(expected - found)[:10]}"
    assert not found - expected, f"verdicts on no line: {sorted(found - expected)[:10]}"
    assert not doubled, f"lines with several verdicts: {list(doubled.items())[:10]}"
    for partition, at in progress.items():
        judged = sum(count for (p, offset), count in source.items() if p == partition and offset < at["next_offset"])
        assert at["lines"] == judged == at["accepted"] + at["rejected"] + at["forwarded"], at
    return watermarks


def origins(message: Message) -> Iterable[tuple[int, int, int]]:
    """The lines that a forwarded record came from."""
    for name, value in message.headers() or []:
        if name == "meterline-origin":
            partition, offset, numbers = value.decode().split(":")
            for number in numbers.split(","):
                yield int(partition), int(offset), int(number)


def answers_of_topics(bootstrap: str, prefix: str) -> dict[Key, Count]:
    """Answers as the topics carry them: the newest total of each key and partition, and the late accepted lines."""
    newest: dict[tuple[int, bytes], dict[str, Any]] = {}
    for message in read_all(bootstrap, prefix + "usage.totals"):
        if message.key() != b"progress" and message.value() is not None:
            newest[message.partition(), message.key()] = json.loads(message.value())
    found: dict[Key, Count] = defaultdict(Count)
    for total in newest.values():
        cell = found[total["tenant_id"], total["metric"], total["hour"][:13]]
        cell.count += total["count"]
        cell.sum += Decimal(total["sum"])
        cell.min = min(cell.min, Decimal(total["min"]))
        cell.max = max(cell.max, Decimal(total["max"]))
        last = (milliseconds(total["last_timestamp"]), total["last_id"], Decimal(total["last"]))
        cell.last = max(cell.last, last)
    late: dict[tuple[str, str, str, str], dict[str, Any]] = {}
    on_time: set[tuple[str, str, str, str]] = set()
    for message in read_all(bootstrap, prefix + "usage.accepted"):
        if message.key() == b"progress":
            continue
        for line in message.value().split(b"\n"):
            row = json.loads(line)
            identity = (row["tenant_id"], row["metric"], row["timestamp"], row["id"])
            if row.get("late"):
                late[identity] = row
            else:
                on_time.add(identity)
    for identity, row in late.items():
        if identity not in on_time:  # an on-time row wins over its late copy
            timestamp = milliseconds(row["timestamp"])
            key = (row["tenant_id"], row["metric"], timestamp[:13])
            found[key].add(Decimal(row["quantity"]), timestamp, row["id"])
    return found


def assert_equal_counts(found: dict[Key, Count], expected: dict[Key, Count]) -> None:
    missing = expected.keys() - found.keys()
    extra = found.keys() - expected.keys()
    different = [
        (key, expected[key], found[key]) for key in expected.keys() & found.keys() if expected[key] != found[key]
    ]
    lost = sum(expected[key].count for key in missing) + sum(e.count - f.count for _key, e, f in different)
    wrong = len(missing) + len(extra) + len(different)
    assert wrong == 0, (
        f"{len(missing)} missing, {len(extra)} extra, {len(different)} different keys; "
        f"{lost} events too few; first: {sorted(missing)[:2]} {sorted(extra)[:2]} {different[:2]}"
    )
