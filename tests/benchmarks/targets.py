"""What is to be reached, each as a figure computed from the parts' results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tests.benchmarks.results import Store

Get = Callable[[str, str], float | None]


@dataclass(frozen=True)
class Target:
    """``bound`` is what ``what`` must be at least or at most; without one it is shown for information."""

    what: str
    parts: tuple[str, ...]
    value: Callable[[Get], float | None]
    unit: str
    sense: Literal["≥", "≤", ""] = ""
    bound: float = 0.0

    def measured(self, store: Store) -> float | None:
        """The figure, or None where a part of it is missing."""
        return self.value(store.get)

    def met(self, value: float) -> bool:
        return value >= self.bound if self.sense == "≥" else value <= self.bound

    def together(self, store: Store) -> bool:
        """Whether all its parts were measured in the same run."""
        return len({store.results[part].run for part in self.parts if part in store.results}) <= 1


def figure(part: str, key: str) -> Callable[[Get], float | None]:
    return lambda get: get(part, key)


def ratio(above: tuple[str, str], below: tuple[str, str]) -> Callable[[Get], float | None]:
    def value(get: Get) -> float | None:
        numerator, denominator = get(*above), get(*below)
        return numerator / denominator if numerator is not None and denominator else None

    return value


TARGETS = (
    Target("stream worker, events per second", ("stream",), figure("stream", "rate"), "/s"),
    Target("stream worker against vanilla Faust, events per second", ("stream", "faust"),
           ratio(("stream", "rate"), ("faust", "rate")), "×", "≥", 30),
    Target("stream worker against Quix Streams, events per second", ("stream", "quix"),
           ratio(("stream", "rate"), ("quix", "rate")), "×", "≥", 3),
    Target("stream worker against Kafka Streams exactly-once, events per CPU second, both reading 100 events a record",
           ("kstreams",), ratio(("kstreams", "batch_cpu"), ("kstreams", "ours_cpu")), "×", "≥", 1.5),
    Target("the same, Kafka Streams reading an event a record", ("kstreams",),
           ratio(("kstreams", "single_cpu"), ("kstreams", "ours_cpu")), "×", "≥", 1.5),
    Target("stream worker against Kafka Streams exactly-once, events per second, both reading 100 events a record",
           ("kstreams",), ratio(("kstreams", "ours_rate"), ("kstreams", "batch_rate")), "×"),
    Target("stream worker, CPU seconds per million events", ("stream",), figure("stream", "cpu"), "s", "≤", 6),
    Target("stream worker with 10,000 quotas and 10,000 thresholds against without, events per second", ("limits",),
           ratio(("limits", "rate"), ("limits", "bare_rate")), "×", "≥", 0.8),
    Target("sink against bare inserts, rows per second", ("sink",),
           ratio(("sink", "rate"), ("sink", "bare_rate")), "×", "≥", 0.7),
    Target("SDK against confluent-kafka bare, events per second", ("sdk",),
           ratio(("sdk", "rate"), ("sdk", "raw_rate")), "×", "≥", 1.5),
    Target("SDK, events per second", ("sdk",), figure("sdk", "rate"), "/s", "≥", 100_000),
    Target("SDK with a spool, events per second", ("sdk",), figure("sdk", "spool_rate"), "/s", "≥", 50_000),
    Target("track(), median", ("calls",), figure("calls", "track_median"), "µs", "≤", 5),
    Target("track() with a spool, median", ("calls",), figure("calls", "spool_median"), "µs"),
    Target("import meterline", ("calls",), figure("calls", "import"), "ms", "≤", 150),
    Target("middleware on a FastAPI app, more time per request", ("middleware",),
           figure("middleware", "overhead"), "µs"),
    Target("events over HTTP in batches of 100, per second", ("ingest",), figure("ingest", "rate"), "/s", "≥", 100_000),
    Target("events over HTTP one by one, requests per second", ("ingest",),
           figure("ingest", "single_rate"), "/s", "≥", 1_500),
    Target("usage of a tenant's month from 20 million events at 5,000 events/s, 99th percentile", ("reports",),
           figure("reports", "month_p99"), "ms", "≤", 50),
    Target("end to end, events per second", ("e2e",), figure("e2e", "rate"), "/s", "≥", 50_000),
    Target("event to queryable at 5,000 events/s, 99th percentile", ("freshness",),
           figure("freshness", "p99"), "s", "≤", 2),
    Target("event to webhook at 5,000 events/s, 99th percentile", ("webhook",), figure("webhook", "p99"), "s", "≤", 2),
    Target("quota check in process, 99th percentile", ("quota",), figure("quota", "p99"), "ms", "≤", 2),
    Target("quota check over HTTP, 99th percentile", ("quota",), figure("quota", "http_p99"), "ms", "≤", 10),
    Target("daily push plan of 100,000 tenants × 5 metrics", ("billing",), figure("billing", "plan"), "s", "≤", 30),
    Target("memory of the API meanwhile", ("billing",), figure("billing", "plan_peak"), "MB", "≤", 500),
    Target("month close of 100,000 tenants × 5 metrics", ("billing",), figure("billing", "close"), "s", "≤", 300),
    Target("a tenant's invoice, 99th percentile", ("billing",), figure("billing", "invoice_p99"), "ms", "≤", 200),
    Target("calls to Stripe in the busiest second against the configured rate", ("billing",),
           ratio(("billing", "calls_most"), ("billing", "calls_rate")), "×", "≤", 1.1),
    Target("worker memory at 100,000 active pairs and 5 million live ids", ("memory",),
           figure("memory", "rss"), "MB", "≤", 600),
    Target("restart to judging after kill -9, at that size", ("memory",),
           figure("memory", "restart"), "s", "≤", 15),
)  # fmt: skip
