"""The ledger of documents as ClickHouse has it: in the order in which they were written, up to a position.

Nothing in it is ever changed, and what comes later lies behind: up to a position it is always the same.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from meterline_api.billing.exporting.as_of import Positions
from meterline_api.billing.exporting.asked import Asked
from meterline_api.clickhouse import ClickHouse
from meterline_schemas.billing.invoice import Invoice, Status, read_invoice

NAME: Final = "billing.invoices"
STATES: Final = (Status.CLOSED, Status.VOID)

_PAGE: Final = 500  # documents that are in memory at once
_SETTINGS: Final[dict[str, str | int]] = {"max_memory_usage": 4_000_000_000}
_VOID: Final = (
    "i.number IN (SELECT n.of FROM invoices_raw AS n WHERE n.kind = 'credit_note' AND n.kafka_offset <= {upto:Int64})"
)
_VOID_SINCE: Final = (
    "i.number IN (SELECT n.of FROM invoices_raw AS n WHERE n.kind = 'credit_note' "
    "AND n.kafka_offset > {since:Int64} AND n.kafka_offset <= {upto:Int64})"
)


async def settled(tables: ClickHouse, at: datetime | None) -> Positions:
    """The position of what was issued before ``at``, cut to the second; of all that is there without it.

    A document that was issued in the second of ``at`` is behind it, and all that was written after that one.

    Raises:
        UnavailableError: ClickHouse does not answer.
    """
    sql = (
        "SELECT if(count() = 0, -1, toInt64(max(i.kafka_offset))), "
        "minOrNullIf(toInt64(i.kafka_offset), i.issued_at >= fromUnixTimestamp64Milli({at:Int64}, 'UTC')) "
        "FROM invoices_raw AS i"
    )
    moment = 0 if at is None else math.floor(at.timestamp())
    ((last, behind),) = await tables.rows(sql, {"at": moment * 1000}, _SETTINGS)
    return ((0, int(last) if at is None or behind is None else int(behind) - 1),)


async def documents(tables: ClickHouse, asked: Asked, *, changed: bool = False) -> AsyncIterator[Sequence[Invoice]]:
    """Documents by their positions, as they stood at ``as_of``.

    ``changed``: with ``since`` also older ones that were taken back after it.

    Raises:
        UnavailableError: ClickHouse does not answer.
    """
    after, left = asked.after, asked.limit
    where, parameters = _where(asked, changed=changed)
    while left is None or left > 0:
        size = _PAGE if left is None else min(left, _PAGE)
        last = await _nth(tables, where, {**parameters, "after": after}, size)
        sql = (
            f"SELECT i.document, {_VOID} FROM invoices_raw AS i WHERE {where} AND i.kafka_offset <= {{last:Int64}} "
            "ORDER BY i.kafka_offset LIMIT 1 BY i.kafka_offset"
        )
        upto = asked.as_of.offset if last is None else last
        rows = await tables.rows(sql, {**parameters, "after": after, "last": upto}, _SETTINGS)
        if rows:
            yield [_document(*row) for row in rows]
        if last is None:
            return
        after, left = last, None if left is None else left - size


async def next_page(tables: ClickHouse, asked: Asked, *, changed: bool = False) -> int | None:
    """The position that the page behind the one asked for begins after; None: there is none.

    Raises:
        UnavailableError: ClickHouse does not answer.
    """
    if asked.limit is None:
        return None
    where, parameters = _where(asked, changed=changed)
    last = await _nth(tables, where, {**parameters, "after": asked.after}, asked.limit)
    if last is None or await _nth(tables, where, {**parameters, "after": last}, 1) is None:
        return None
    return last


async def _nth(tables: ClickHouse, where: str, parameters: dict[str, Any], number: int) -> int | None:
    """The position of the so many-th document that is wanted; None: there are fewer."""
    sql = (
        f"SELECT toInt64(i.kafka_offset) AS place FROM invoices_raw AS i WHERE {where} "
        "GROUP BY place ORDER BY place LIMIT 1 OFFSET {skipped:UInt32}"
    )
    rows = await tables.rows(sql, {**parameters, "skipped": number - 1}, _SETTINGS)
    return int(rows[0][0]) if rows else None


def _where(asked: Asked, *, changed: bool) -> tuple[str, dict[str, Any]]:
    parts = ["i.kafka_offset > {after:Int64}", "i.kafka_offset <= {upto:Int64}"]
    parameters: dict[str, Any] = {"upto": asked.as_of.offset}
    if asked.since is not None:
        parts.append(
            f"(i.kafka_offset > {{since:Int64}} OR {_VOID_SINCE})" if changed else "i.kafka_offset > {since:Int64}"
        )
        parameters["since"] = asked.since.offset
    if asked.tenants is not None:
        parts.append("i.tenant_id IN {tenants:Array(String)}")
        parameters["tenants"] = list(asked.tenants)
    if asked.currency is not None:
        parts.append("i.currency = {currency:String}")
        parameters["currency"] = asked.currency
    if asked.status is not None:
        parts.append(_VOID if asked.status == Status.VOID else f"NOT ({_VOID})")
    for name, sign, instant in (("start", ">=", asked.start), ("end", "<", asked.end)):
        if instant is not None:
            parts.append(f"i.period_start {sign} fromUnixTimestamp64Milli({{{name}:Int64}}, 'UTC')")
            parameters[name] = round(instant.timestamp() * 1000)
    return " AND ".join(parts), parameters


def _document(text: str, void: int) -> Invoice:
    found = read_invoice(text)
    return msgspec.structs.replace(found, status=Status.VOID) if void else found
