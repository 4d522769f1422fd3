"""One installation for all of it: what was used, what was accrued before the close, and the close."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.api.billing.finance.company import INDIA, LAST, Sent, Site, entries, month
from tests.api.process import ApiProcess
from tests.services.clickhouse import ClickHouseServer, execute
from tests.support.pipeline import Pipeline
from tests.support.streams import wait_until


class Before(NamedTuple):
    """Accruals at the end of the last month, in UTC and in India, asked for before any of it was closed."""

    utc: list[dict[str, Any]]
    india: list[dict[str, Any]]


@pytest.fixture(scope="package")
def site(kafka: str, clickhouse_server: ClickHouseServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    database = clickhouse_server.settings(f"finance{uuid.uuid4().hex[:12]}")
    prefix = f"finance{uuid.uuid4().hex[:8]}."
    with Pipeline(kafka, prefix, tmp_path_factory.mktemp("finance"), database, partitions=2) as pipeline:
        pipeline.configure(*entries())
        pipeline.start("stream", "meterline_streams", METERLINE_ACCEPT_PAST="P70D")
        pipeline.start("sink", "meterline_sinks")
        folder = tmp_path_factory.mktemp("api")
        api = ApiProcess(kafka, prefix, database, folder, ACCEPT_PAST="P70D", BILLING_GRACE="PT0S")
        api.start()
        wait_until(lambda: api.client.get("/v1/tenants/by-day").status_code == 200, 30, "the catalog is known")
        sent = Sent()
        made = Site(api, sent, prefix, kafka, pipeline.query)
        made.send(*sent.usage())
        pipeline.drain()
        pipeline.wait_for_sink()
        yield made
        api.stop()
        assert "Traceback" not in api.log()
    clickhouse_server.restore()
    execute(database, f"DROP DATABASE IF EXISTS {database.database} SYNC")


@pytest.fixture(scope="package")
def before(site: Site) -> Before:
    ends = [month(LAST, zone)[1].isoformat() for zone in ("UTC", INDIA)]
    return Before(*(site.pages("/v1/billing/accruals", at=end) for end in ends))


@pytest.fixture(scope="package")
def closed(site: Site, before: Before) -> Site:
    """All that ended is closed."""
    run = site.run("close")
    assert (run["state"], run["problems"]) == ("done", [])
    count = int(run["result"]["invoices"])
    wait_until(lambda: len(site.get("/v1/invoices", limit=1000)["data"]) == count, 30, f"{count} invoices")
    return site
