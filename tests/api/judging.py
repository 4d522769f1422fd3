"""An installation in which events are judged, and lines of every fate in it; what was sent is known to tests."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
from confluent_kafka import Message

from meterline_schemas.catalog import Threshold
from tests.services.clickhouse import ClickHouseServer, execute
from tests.support import cluster
from tests.support.pipeline import KEY, Pipeline
from tests.support.recount import milliseconds
from tests.support.streams import wait_until

PARTITIONS = 4
KEPT = 64 * 1024


def line(id: str, tenant: str = "acme", metric: str = "orders", quantity: str = "1", **more: object) -> bytes:
    now = datetime.now(UTC) - timedelta(seconds=1)
    fields = {"id": id, "tenant_id": tenant, "metric": metric, "quantity": quantity, "timestamp": now.isoformat()}
    return json.dumps({**fields, **more}).encode()


@dataclass(frozen=True)
class Sent:
    """A line, and where Kafka has it."""

    value: bytes
    partition: int
    offset: int
    line: int = 0

    @property
    def place(self) -> tuple[int, int, int]:
        return self.partition, self.offset, self.line

    @property
    def fields(self) -> dict[str, Any]:
        return dict(json.loads(self.value))


@dataclass
class Judging:
    """``client`` has the key of the settings."""

    pipeline: Pipeline
    client: httpx.Client
    sent: list[Sent] = field(default_factory=list)

    def put(self, *lines: bytes, partition: int | None = None) -> list[Sent]:
        """One record with these lines: on the home of their tenant unless ``partition`` says where."""
        home = self.pipeline.home(json.loads(lines[0])["tenant_id"]) if partition is None else partition
        delivered: list[Message] = []
        producer = cluster.producer(self.pipeline.bootstrap)
        producer.produce(
            self.pipeline.prefix + "usage.events",
            b"\n".join(lines),
            partition=home,
            on_delivery=lambda _error, message: delivered.append(message),
        )
        assert producer.flush(30) == 0
        (message,) = delivered
        assert message.error() is None
        new = [Sent(value, home, message.offset() or 0, number) for number, value in enumerate(lines)]
        self.sent += new
        return new

    def settle(self) -> None:
        """Until everything that was sent is judged and in ClickHouse."""
        self.pipeline.drain()
        self.pipeline.wait_for_sink()

    def get(self, path: str, client: httpx.Client | None = None, **query: Any) -> dict[str, Any]:
        answer = (client or self.client).get(path, params={name.rstrip("_"): found for name, found in query.items()})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def life(self, id: str, client: httpx.Client | None = None, **query: Any) -> list[dict[str, Any]]:
        return list(self.get(f"/v1/events/{id}", client, **query)["data"])

    def rejected(self, client: httpx.Client | None = None, **query: Any) -> list[dict[str, Any]]:
        """All pages."""
        found: list[dict[str, Any]] = []
        while True:
            page = self.get("/v1/rejected-events", client, **query)
            found += page["data"]
            if "next_cursor" not in page:
                return found
            query["cursor"] = page["next_cursor"]

    def replay(self, **asked: Any) -> dict[str, Any]:
        answer = self.client.post("/v1/rejected-events/replay", json=asked)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    @contextmanager
    def caller(self, role: str, *tenants: str) -> Iterator[httpx.Client]:
        """Somebody with a key of their own, which is known when this begins."""
        made = self.client.post("/v1/keys", json={"role": role, "tenants": list(tenants)})
        assert made.status_code == 201, made.text
        headers = {"Authorization": f"Bearer {made.json()['key']}"}
        with httpx.Client(base_url=self.client.base_url, headers=headers, timeout=30, trust_env=False) as client:
            wait_until(lambda: client.get("/v1/caller").status_code == 200, 20, "the key is known")
            yield client

    def counted(self, metric: str) -> tuple[int, Decimal]:
        """Events of a metric and their sum, as usage answers."""
        start = (datetime.now(UTC) - timedelta(days=30)).replace(minute=0, second=0, microsecond=0)
        rows = self.get("/v1/usage", metric=metric, from_=start.isoformat())["data"]
        return (int(rows[0]["count"]), Decimal(rows[0]["value"])) if rows else (0, Decimal(0))


def recount(sent: Iterable[Sent], metric: str) -> tuple[int, Decimal]:
    """What must come out: each tenant's id once."""
    found: dict[tuple[str, str], Decimal] = {}
    for each in sent:
        try:
            fields = each.fields
        except ValueError:
            continue
        if fields.get("metric") == metric and len(each.value) <= KEPT:
            found[fields["tenant_id"], fields["id"]] = Decimal(fields["quantity"])
    return len(found), sum(found.values(), Decimal(0))


def same_instant(text: str, other: str) -> bool:
    return milliseconds(text) == milliseconds(other)


@contextmanager
def judging(kafka: str, clickhouse_server: ClickHouseServer, folder: Path, **more: str) -> Iterator[Judging]:
    """Stream worker, sink and API run, with ``more`` in their environment.

    `orders` has a threshold of 5 for every tenant.
    """
    name = uuid.uuid4().hex[:8]
    settings = clickhouse_server.settings(f"judged{name}")
    try:
        with Pipeline(kafka, f"judged-{name}.", folder, settings, PARTITIONS, **more) as pipeline:
            pipeline.configure(
                Threshold.model_validate({"id": "five", "metric": "orders", "amount": 5, "steps": [100]})
            )
            pipeline.keep()
            with httpx.Client(
                base_url=f"http://127.0.0.1:{pipeline._port}",
                headers={"Authorization": f"Bearer {KEY}"},
                timeout=30,
                trust_env=False,
            ) as client:
                wait_until(lambda: client.get("/health/ready").status_code == 200, 60, "the API takes events")
                yield Judging(pipeline, client)
    finally:
        execute(settings, f"DROP DATABASE IF EXISTS {settings.database} SYNC")
