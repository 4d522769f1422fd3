"""Documents in ClickHouse, where there are more than their numbers have digits for."""

from __future__ import annotations

import asyncio
from contextlib import closing
from datetime import UTC, datetime

import msgspec

from meterline_api.billing.invoices.store import Store, Wanted
from meterline_api.clickhouse import ClickHouse
from meterline_schemas.billing.invoice import Invoice, encode
from meterline_schemas.settings import ClickHouseSettings
from meterline_sinks.invoice_rows import invoice_row
from meterline_sinks.migrate import migrate
from tests.api.billing.rendering.samples import invoice
from tests.services.clickhouse import execute


def write(settings: ClickHouseSettings, *invoices: Invoice) -> None:
    rows = [invoice_row(offset, each.key, encode(each)) for offset, each in enumerate(invoices)]
    lines = b"\n".join(row for _table, row in rows).decode()
    settings_of_times = "SETTINGS date_time_input_format = 'best_effort'"
    execute(settings, f"INSERT INTO {settings.database}.invoices_raw {settings_of_times} FORMAT JSONEachRow {lines}")


def test_a_list_goes_on_beyond_a_million_numbers_and_a_tenants_invoices_are_in_the_order_of_time(
    clickhouse: ClickHouseSettings,
) -> None:
    migrate(clickhouse)
    template = invoice(tenant_id="acme", cut={"0": 7, "1": 9})
    months = [datetime(2026, month, 1, tzinfo=UTC) for month in range(1, 6)]
    numbers = ["INV-999998", "INV-999999", "INV-1000000", "INV-1000001"]
    made = [
        msgspec.structs.replace(template, number=number, start=start, end=end)
        for number, start, end in zip(numbers, months, months[1:], strict=False)
    ]
    write(clickhouse, *made)
    with closing(ClickHouse(clickhouse, 10)) as tables:
        store = Store(tables)
        found: list[Invoice] = []
        while page := asyncio.run(store.page(Wanted(None, after=found[-1].number if found else "", limit=1))):
            found.append(page[0])
        assert [each.number for each in found] == numbers
        by_tenant = asyncio.run(store.of_tenants(["acme", "nobody"]))
        assert [each.number for each in by_tenant.pop("acme")] == numbers
        assert by_tenant == {}
        cuts = asyncio.run(store.cuts({"acme": numbers[-1], "other": "INV-000001"}))
        assert cuts == {"acme": ((0, 7), (1, 9))}
