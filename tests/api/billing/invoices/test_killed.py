"""A close that is killed, frozen and taken over in its midst, by two replicas: everybody is invoiced once."""

from __future__ import annotations

import random
import signal
import uuid
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from meterline_schemas import topics
from meterline_schemas.audit.chain import Chain
from meterline_schemas.billing.closing import TENANT, Closing, read_closing
from meterline_schemas.billing.invoice import Invoice, read_invoice
from meterline_schemas.catalog import TenantPlan
from meterline_schemas.catalog.plan import Span
from tests.api.process import ApiProcess
from tests.benchmarks.cluster import Installation
from tests.benchmarks.month import Month
from tests.services.clickhouse import ClickHouseServer, execute
from tests.support import cluster
from tests.support.pipeline import Pipeline
from tests.support.streams import wait_until

PARTITIONS = 2
MONTHS = 3  # that each tenant owes: nothing was used in those before the last one
BASE_FEES = {"team": Decimal(49), "pay-as-you-go": Decimal(0)}


class Site:
    """Tenants whose months are to be closed, and two API processes that close them."""

    def __init__(self, pipeline: Pipeline, tenants: int, folder: Path) -> None:
        self.pipeline = pipeline
        installation = Installation(pipeline.bootstrap, pipeline.prefix, PARTITIONS, pipeline.clickhouse)
        self.month = Month(installation, tenants, 1)
        self.month.write_catalog()
        self.month.fill()
        self.periods = [self.month.start, self.month.end]
        while len(self.periods) <= MONTHS:
            self.periods.insert(0, (self.periods[0] - timedelta(days=1)).replace(day=1))
        self.plans = {name: self._plan(name) for name in self.month.names()}
        spans = {name: (Span(start=self.periods[0], plan=plan),) for name, plan in self.plans.items()}
        pipeline.configure(*(TenantPlan(tenant_id=name, spans=span) for name, span in spans.items()))
        pipeline.start("sink", "meterline_sinks")
        self.processes = [self._process(folder / f"api-{number}") for number in range(2)]
        for process in self.processes:
            process.start()

    def _plan(self, name: str) -> str:
        return "team" if int(name[-6:]) % 3 == 0 else "pay-as-you-go"

    def _process(self, folder: Path) -> ApiProcess:
        folder.mkdir()
        pipeline = self.pipeline
        settings = {"BILLING_GRACE": "PT0S", "BILLING_LOST_AFTER": "PT2S", "BILLING_CHUNK": "10"}
        return ApiProcess(pipeline.bootstrap, pipeline.prefix, pipeline.clickhouse, folder, **settings)

    def end_of_invoices(self) -> int:
        """Also of what is not committed."""
        return sum(cluster.ends(self.pipeline.bootstrap, self.pipeline.prefix + topics.INVOICES).values())

    def records(self, topic: str) -> list[Any]:
        found = cluster.read_all(self.pipeline.bootstrap, self.pipeline.prefix + topic)
        return sorted(found, key=lambda message: int(message.offset()))

    def invoices(self) -> list[Invoice]:
        return [read_invoice(message.value()) for message in self.records(topics.INVOICES)]

    @property
    def expected(self) -> int:
        return MONTHS * self.month.tenants

    def ask(self, process: ApiProcess) -> None:
        """Have a process close what has ended; that another does it, or this one cannot, is none of our business."""
        try:
            due = datetime.now(UTC).replace(microsecond=0).isoformat()
            answer = process.client.post("/v1/billing/runs", json={"job": "close", "due": due}, timeout=5)
        except httpx.TransportError:
            return
        assert answer.status_code in (202, 409, 503), answer.text

    def closing(self) -> ApiProcess | None:
        """Whoever closes, if anybody does."""
        query = {"job": "close", "state": "running"}
        found = self.processes[0].client.get("/v1/billing/runs", params=query).json()["data"]
        owners = {int(run["owner"].split(":")[1]) for run in found}
        return next((process for process in self.processes if process.pid in owners), None)

    def closed(self) -> bool:
        """Whether everything is; if not, whoever does nothing is asked to."""
        for process in self.processes:
            self.ask(process)
        return len(self.invoices()) >= self.expected


@pytest.fixture
def pipeline(kafka: str, clickhouse_server: ClickHouseServer, tmp_path: Path) -> Iterator[Pipeline]:
    database = clickhouse_server.settings(f"killed{uuid.uuid4().hex[:12]}")
    prefix = f"killed{uuid.uuid4().hex[:8]}."
    with Pipeline(kafka, prefix, tmp_path, database, partitions=PARTITIONS) as started:
        yield started
    clickhouse_server.restore()
    execute(database, f"DROP DATABASE IF EXISTS {database.database} SYNC")


@pytest.mark.parametrize(
    ("seed", "tenants", "blows"),
    [(1, 60, 3), *(pytest.param(seed, 300, 12, marks=pytest.mark.long) for seed in range(2, 6))],
)
def test_everybody_is_invoiced_once_however_often_who_closes_is_killed(
    pipeline: Pipeline, tmp_path: Path, seed: int, tenants: int, blows: int
) -> None:
    rng = random.Random(seed)
    site = Site(pipeline, tenants, tmp_path)
    try:
        for number in range(blows):
            strike(site, rng, site.expected * (number + 1) // (blows + 1), frozen=number == 1 or rng.random() < 0.3)
        wait_until(site.closed, 120, lambda: f"{len(site.invoices())} of {site.expected} invoices")
    finally:
        for process in site.processes:
            process.stop()
    check(site)


def strike(site: Site, rng: random.Random, place: int, *, frozen: bool) -> None:
    """Once about so many invoices are there, whoever writes them is killed, or stands still and is overtaken."""

    def there() -> bool:
        for process in site.processes:
            site.ask(process)
        return site.end_of_invoices() >= place

    wait_until(there, 120, f"{place} invoices")
    victim = site.closing() or rng.choice(site.processes)
    if frozen:
        victim.send_signal(signal.SIGSTOP)
        before = site.end_of_invoices()
        other = next(process for process in site.processes if process is not victim)

        def goes_on() -> bool:
            site.ask(other)
            return site.end_of_invoices() > before + rng.randrange(1, 20) or len(site.invoices()) >= site.expected

        wait_until(goes_on, 60, "the other process going on")
        victim.send_signal(signal.SIGCONT)
    else:
        victim.kill()
        victim.start()


def check(site: Site) -> None:
    """By what the topics hold: once each, the right amount, no gap, nothing without the rest of it."""
    found = site.invoices()
    assert [invoice.number for invoice in found] == [f"INV-{number:06d}" for number in range(1, len(found) + 1)]
    by_tenant: dict[str, list[Invoice]] = defaultdict(list)
    for invoice in found:
        by_tenant[invoice.tenant_id].append(invoice)
    owed = site.month.owed()
    for name, plan in site.plans.items():
        mine = by_tenant.pop(name)
        assert [(each.start, each.end) for each in mine] == list(zip(site.periods, site.periods[1:], strict=False))
        fee = BASE_FEES[plan] + (Decimal("0.50") if plan == "team" else 0)  # and the least that rows cost
        assert [each.total for each in mine] == [fee, fee, owed[name]], name
    assert not by_tenant
    closings: dict[str, Closing] = {}
    for message in site.records(topics.CLOSINGS):
        if message.key().decode().startswith(TENANT):
            closing = read_closing(message.value())
            closings[closing.tenant_id] = closing
    last = {invoice.tenant_id: invoice.number for invoice in found}
    assert {name: (each.since, each.until, each.number) for name, each in closings.items()} == {
        name: (site.periods[0], site.periods[-1], last[name]) for name in site.plans
    }
    chain, told = Chain(), list[str]()
    for message in site.records(topics.AUDIT):
        assert chain.add(message.offset(), message.value()) == []
        assert chain.head is not None
        if chain.head.action == "billing.invoice.closed":
            told.append(chain.head.resource_id)
    assert told == [invoice.number for invoice in found]
