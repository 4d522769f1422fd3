"""The job on the real API: tenants of the catalog, documents of billing.invoices, items at the stand-in; compared."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from meterline_schemas.settings import ClickHouseSettings
from meterline_sinks.migrate import migrate
from tests.api.billing.stripe.items.register import Register
from tests.api.billing.stripe.stand_in import KEY
from tests.api.process import ApiProcess
from tests.services.clickhouse import execute
from tests.support.processes import Started
from tests.support.streams import wait_until

RUNS = "/v1/billing/runs"


@pytest.fixture
def sink(register: Register, clickhouse: ClickHouseSettings, tmp_path: Path) -> Iterator[None]:
    """What brings documents into ClickHouse."""
    migrate(clickhouse)
    environment = {
        **os.environ,
        "METERLINE_KAFKA": register.kafka.kafka,
        "METERLINE_TOPIC_PREFIX": register.kafka.topic_prefix,
        "METERLINE_CLICKHOUSE_URL": clickhouse.url,
        "METERLINE_CLICKHOUSE_USER": clickhouse.user,
        "METERLINE_CLICKHOUSE_PASSWORD": clickhouse.password.get_secret_value(),
        "METERLINE_CLICKHOUSE_DATABASE": clickhouse.database,
    }
    process = Started("meterline_sinks", environment=environment, out=tmp_path / "sink.log")
    yield
    process.terminate()
    process.wait(30)


@pytest.fixture
def api(register: Register, clickhouse: ClickHouseSettings, tmp_path: Path) -> Iterator[ApiProcess]:
    stripe = {"STRIPE_KEY": KEY, "STRIPE_URL": register.stripe.url, "STRIPE_RATE": "1000"}
    process = ApiProcess(register.kafka.kafka, register.kafka.topic_prefix, clickhouse, tmp_path, **stripe)
    process.start()
    yield process
    process.stop()


def run(api: ApiProcess, job: str) -> Any:
    """What came of it."""
    begun = api.client.post(RUNS, json={"job": job}).json()
    found: Any = None

    def ended() -> bool:
        nonlocal found
        found = api.client.get(f"{RUNS}/{job}/{begun['due']}").json()
        return bool(found["state"] != "running")

    wait_until(ended, 60, "the run has ended")
    return found


def test_the_job_sends_what_was_closed_for_tenants_of_the_catalog_and_reconcile_compares_it(
    register: Register, sink: None, api: ApiProcess, clickhouse: ClickHouseSettings
) -> None:
    for tenant, customer in register.customers.items():
        wish = {"billing": "invoice_items", "stripe_customer": customer}
        assert api.client.put(f"/v1/tenants/{tenant}", json=wish).is_success
    [number, *_] = register.close("19.00", "1.25")

    dry = api.client.post(RUNS, json={"job": "items", "dry_run": True})
    assert dry.status_code == 200, dry.text
    assert dry.json()["result"] | {"documents": "3", "open": "6", "amount_eur": "6075"} == dry.json()["result"]
    assert f"{number} line 2" in dry.json()["result"]
    assert register.items() == []

    found = run(api, "items")
    assert (found["state"], found["problems"], found["result"]["delivered"]) == ("done", [], "6")
    register.check()

    gone = next(item for item in register.items() if item["metadata"]["meterline_invoice"] == number)
    headers = {"Authorization": f"Bearer {KEY}"}
    assert httpx.delete(
        f"{register.stripe.url}/v1/invoiceitems/{gone['id']}", headers=headers, trust_env=False
    ).is_success
    documents = f"SELECT count() FROM {clickhouse.database}.invoices"
    wait_until(lambda: execute(clickhouse, documents).strip() == "3", 60, "the documents are in ClickHouse")
    found = run(api, "reconcile")
    amount, line = gone["amount"], gone["metadata"]["meterline_line"]
    assert (found["state"], found["result"]["items"], found["result"]["items_stripe_lacks"]) == ("done", "6", "1")
    assert found["problems"] == [
        f"stripe_lacks: tenant 'tenant-0', {number}, line {line}: document {amount}, ledger {amount}, Stripe nothing "
        f"(customer {register.customers['tenant-0']}): {gone['id']} is gone"
    ]
