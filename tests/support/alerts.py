"""Limits for a workload, and what must have come of them: each step of each tenant told exactly once."""

from __future__ import annotations

import json
from collections import Counter as Tally
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

from meterline_schemas import topics
from meterline_schemas.catalog import Entry, Quota, Threshold
from meterline_schemas.counter import Counter
from tests.support import cluster
from tests.support.recount import Count, Key
from tests.support.streams import Streams

LIMIT = Decimal(10) ** 13
STEPS = ("50", "80", "100")


def limits() -> list[Entry]:
    return [
        Threshold.model_validate({"id": "all-orders", "metric": "orders", "amount": LIMIT, "steps": STEPS}),
        Quota.model_validate({"metric": "api_calls", "included": LIMIT}),
        Threshold.model_validate({"id": "all-calls", "metric": "api_calls", "steps": STEPS}),
        Quota.model_validate({"metric": "storage_gb", "tenant_id": "tenant-1", "included": 1, "period": "never"}),
    ]


def this_month(answers: Mapping[Key, Count]) -> dict[tuple[str, str], Count]:
    """The independent count, of the running month."""
    month = datetime.now(UTC).strftime("%Y-%m")
    found: dict[tuple[str, str], Count] = {}
    for (tenant, metric, hour), count in answers.items():
        if hour.startswith(month):
            total = found.setdefault((tenant, metric), Count())
            total.count += count.count
            total.sum += count.sum
    return found


def crossings_of(notes: Iterable[Mapping[str, Any]]) -> Tally[tuple[str, str, str]]:
    """(tenant, metric, step) of every crossing that was told, and how often; both forms must agree."""
    told, billing = Tally[tuple[str, str, str]](), Tally[tuple[str, str, str]]()
    for note in notes:
        data = note["data"]
        if note["type"] in ("threshold.approaching", "threshold.exceeded"):
            told[data["tenant_id"], data["metric"], data["step"]] += 1
        elif note["type"] == "billing.threshold_exceeded":
            billing[data["companyId"], data["metric"], str(data["percent"])] += 1
    assert told == billing
    return told


def expected_crossings(streams: Streams) -> set[tuple[str, str, str]]:
    """What must have been told, by the independent count."""
    return {
        (tenant, metric, step)
        for (tenant, metric), total in this_month(streams.expected.answers).items()
        for step in STEPS
        if metric in ("orders", "api_calls") and total.sum * 100 >= LIMIT * int(step)
    }


def check_alerts(streams: Streams) -> None:
    """Every alert once, every counter equal to the independent count."""
    totals = this_month(streams.expected.answers)
    expected = expected_crossings(streams)
    assert len({tenant for tenant, *_ in expected}) > 2, "the workload crosses some"
    notes = cluster.read_all(streams.bootstrap, streams.prefix + topics.NOTIFICATIONS)
    assert crossings_of(json.loads(message.value()) for message in notes) == Tally(expected)
    newest: dict[bytes, bytes | None] = {}
    for message in cluster.read_all(streams.bootstrap, streams.prefix + topics.COUNTERS):
        newest[message.key()] = message.value()
    counters = [msgspec.json.decode(value, type=Counter) for value in newest.values() if value is not None]
    for counter in counters:
        if counter.calendar == "monthly":
            total = totals[counter.tenant_id, counter.metric]
            assert (counter.count, Decimal(counter.sum), counter.complete) == (total.count, total.sum, True)
    followed = {(tenant, metric) for tenant, metric in totals if metric in ("orders", "api_calls")}
    assert {(each.tenant_id, each.metric) for each in counters if each.calendar == "monthly"} == followed
    (own,) = [counter for counter in counters if counter.calendar == "never"]
    ever = [count for (tenant, name, _), count in streams.expected.answers.items() if (tenant, name) == own.key[:2]]
    assert own.count == sum(count.count for count in ever)
