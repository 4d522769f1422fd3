"""Invoices as ClickHouse has them: each document whole, as it was written, and what lists are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from meterline_api.billing.invoices.quantities import Cut, Tables
from meterline_api.billing.payments.listing import build_of, read_of
from meterline_api.billing.payments.models import InvoicePayment
from meterline_schemas.billing.invoice import DocumentKind, Invoice, PaymentState, Status, read_invoice

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DOCUMENT: Final = "SELECT i.document, i.void FROM invoices AS i WHERE "


@dataclass(frozen=True)
class Wanted:
    """Which documents of a list: half-open by the start of their period. ``after``: the number of the last one."""

    tenants: tuple[str, ...] | None
    kind: DocumentKind | None = None
    start: datetime | None = None
    end: datetime | None = None
    after: str = ""
    limit: int = 100
    payments: tuple[PaymentState, ...] = ()


class Store:
    """Reads only: what is written lies in Kafka, and comes here by the sink."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def find(self, number: str) -> Invoice | None:
        """A document by its number.

        Raises:
            UnavailableError: ClickHouse does not answer.
        """
        rows = await self._tables.rows(f"{_DOCUMENT} i.number = {{number:String}}", {"number": number})
        return _invoice(rows[0]) if rows else None

    async def page(self, wanted: Wanted) -> list[Invoice]:
        """In the order of their numbers, one more than ``limit`` where there are more.

        Raises:
            UnavailableError: ClickHouse does not answer.
        """
        where = ["(length(i.number), i.number) > (length({after:String}), {after:String})"]
        parameters: dict[str, Any] = {"after": wanted.after, "limit": wanted.limit + 1}
        if wanted.tenants is not None:
            where.append("i.tenant_id IN {tenants:Array(String)}")
            parameters["tenants"] = list(wanted.tenants)
        if wanted.kind is not None:
            where.append("i.kind = {kind:String}")
            parameters["kind"] = wanted.kind
        if wanted.payments:
            where.append("i.payment IN {payments:Array(String)}")
            parameters["payments"] = [str(state) for state in wanted.payments]
        for name, sign, instant in (("start", ">=", wanted.start), ("end", "<", wanted.end)):
            if instant is not None:
                where.append(f"i.period_start {sign} fromUnixTimestamp64Milli({{{name}:Int64}}, 'UTC')")
                parameters[name] = round(instant.timestamp() * 1000)
        sql = f"{_DOCUMENT} {' AND '.join(where)} ORDER BY length(i.number), i.number LIMIT {{limit:UInt32}}"
        return [_invoice(row) for row in await self._tables.rows(sql, parameters)]

    async def payments_of(self, invoices: Sequence[Invoice]) -> dict[str, InvoicePayment]:
        """How the payments of documents stand, by number, as far as anybody said.

        Raises:
            UnavailableError: ClickHouse does not answer.
        """
        numbers = [each.number for each in invoices if each.number]
        return dict(map(read_of, await self._tables.rows(*build_of(numbers)))) if numbers else {}

    async def of_tenants(self, tenants: Sequence[str]) -> dict[str, list[Invoice]]:
        """The invoices of tenants, without credit notes, oldest first.

        Raises:
            UnavailableError: ClickHouse does not answer.
        """
        found: dict[str, list[Invoice]] = {}
        if tenants:
            sql = f"{_DOCUMENT} i.tenant_id IN {{tenants:Array(String)}} AND i.kind = 'invoice' "
            sql += "ORDER BY i.period_start, i.period_end, i.number"
            for row in await self._tables.rows(sql, {"tenants": list(tenants)}):
                invoice = _invoice(row)
                found.setdefault(invoice.tenant_id, []).append(invoice)
        return found

    async def cuts(self, numbers: Mapping[str, str]) -> dict[str, Cut]:
        """The cuts of invoices, by tenant, of those that are there; ``numbers`` has one of each tenant.

        Raises:
            UnavailableError: ClickHouse does not answer.
        """
        sql = (
            "SELECT i.tenant_id, JSONExtract(i.document, 'cut', 'Map(String, Int64)') FROM invoices AS i "
            "WHERE i.tenant_id IN {tenants:Array(String)} AND i.number IN {numbers:Array(String)}"
        )
        rows = await self._tables.rows(sql, {"tenants": list(numbers), "numbers": list(numbers.values())})
        return {str(id): tuple(sorted((int(partition), int(at)) for partition, at in cut.items())) for id, cut in rows}

    async def first_events_after(self, tenants: Sequence[str], end: datetime, cut: Cut) -> dict[str, datetime]:
        """When the first event of tenants was that lies at ``cut`` or behind it, of those from before ``end``.

        Raises:
            UnavailableError: ClickHouse does not answer.
        """
        sql = (
            "SELECT u.tenant_id, toUnixTimestamp64Milli(min(u.timestamp)) FROM usage_events_raw AS u "
            "WHERE u.tenant_id IN {tenants:Array(String)} "
            "AND u.timestamp < fromUnixTimestamp64Milli({end:Int64}, 'UTC') "
            "AND u.kafka_offset >= transform(u.kafka_partition, {cut_of:Array(Int32)}, {cut_at:Array(Int64)}, 0) "
            "GROUP BY u.tenant_id"
        )
        parameters = {
            "tenants": list(tenants),
            "end": round(end.timestamp() * 1000),
            "cut_of": [partition for partition, _offset in cut],
            "cut_at": [offset for _partition, offset in cut],
        }
        rows = await self._tables.rows(sql, parameters)
        return {str(id): _EPOCH + timedelta(milliseconds=int(first)) for id, first in rows}

    async def with_events_after(self, tenants: Sequence[str], end: datetime, cut: Cut) -> set[str]:
        """Which tenants have such events. Raises as ``first_events_after``."""
        return set(await self.first_events_after(tenants, end, cut))


def _invoice(row: Sequence[Any]) -> Invoice:
    document, void = row
    found = read_invoice(document)
    return msgspec.structs.replace(found, status=Status.VOID) if void else found
