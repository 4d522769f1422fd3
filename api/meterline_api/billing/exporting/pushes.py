"""What Stripe was told, as rows: the last push of each customer, meter and day.

A later push of a day takes the place of the one before. Hence a range is the same again as long as nothing in it was
pushed anew; where something was, a pull says so instead of giving other rows.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from meterline_api.billing.exporting.as_of import Positions
from meterline_api.billing.exporting.asked import Asked
from meterline_api.billing.exporting.columns import Described, Row, instant, integer, text
from meterline_api.clickhouse import ClickHouse
from meterline_api.exports.body import ChangedError

NAME: Final = "billing.pushes"
COLUMNS: Final[tuple[Described, ...]] = (
    text("tenant_id", "Who is billed"),
    text("metric", "Key of the metric"),
    text("day", "The UTC day"),
    text("customer", "Id of the customer at Stripe"),
    text("meter", "Id of the meter at Stripe"),
    integer("revision", "How many values the day had, from 1"),
    text("identifier", "What Stripe knows the push by"),
    integer("value", "Total of the day, in the smallest parts of the meter"),
    text("state", "`intent`: there is no answer yet; `delivered`; `refused`: `detail` says why"),
    instant("at", "Since when", nullable=True),
    text("detail", "What Stripe says of it, where it was refused"),
    text("request_id", "Id of the request at Stripe"),
)
EXAMPLE: Final[Row] = {
    "tenant_id": "acme",
    "metric": "order",
    "day": "2026-11-30",
    "customer": "cus_R4nD0m",
    "meter": "mtr_61R4nD0m",
    "revision": 2,
    "identifier": "cus_R4nD0m:mtr_61R4nD0m:2026-11-30:r2",
    "value": 1250,
    "state": "delivered",
    "at": datetime.fromisoformat("2026-12-01T01:00:04Z"),
    "detail": "",
    "request_id": "req_4711",
}
_PAGE: Final = 20_000
_SETTINGS: Final[dict[str, str | int]] = {"max_memory_usage": 4_000_000_000}
_IDENTIFIER: Final = "concat(p.customer, ':', p.meter, ':', toString(p.day), ':r', toString(p.revision))"
_SELECTED: Final = (
    "toInt64(p.kafka_offset), p.tenant_id, toString(p.metric), toString(p.day), p.customer, p.meter, p.revision, "
    f"{_IDENTIFIER}, p.value, toString(p.state), toUnixTimestamp64Milli(p.at), p.detail, p.request_id"
)


async def settled(tables: ClickHouse, at: datetime | None) -> Positions:
    """The position before the first push of ``at`` or later; of all that is there without it.

    Raises:
        UnavailableError: ClickHouse does not answer.
    """
    sql = (
        "SELECT if(count() = 0, -1, toInt64(max(p.kafka_offset))), "
        "minOrNullIf(toInt64(p.kafka_offset), p.at >= fromUnixTimestamp64Milli({at:Int64}, 'UTC')) "
        "FROM stripe_pushes_raw AS p"
    )
    moment = 0 if at is None else math.floor(at.timestamp()) * 1000
    ((last, behind),) = await tables.rows(sql, {"at": moment}, _SETTINGS)
    return ((0, int(last) if at is None or behind is None else int(behind) - 1),)


async def rows(tables: ClickHouse, asked: Asked) -> AsyncIterator[Sequence[Row]]:
    """In the order in which they were written.

    Raises:
        ChangedError: one of them was pushed anew behind ``as_of``.
        UnavailableError: ClickHouse does not answer.
    """
    where, parameters = _where(asked)
    after, left = asked.after, asked.limit
    await _refuse_changed(tables, asked)
    while left is None or left > 0:
        size = _PAGE if left is None else min(left, _PAGE)
        sql = (
            f"SELECT {_SELECTED} FROM stripe_pushes_raw AS p FINAL WHERE {where} "
            "ORDER BY p.kafka_offset LIMIT {size:UInt32}"
        )
        found = await tables.rows(sql, {**parameters, "after": after, "size": size}, _SETTINGS)
        await _refuse_changed(tables, asked)
        if found:
            yield [_row(row[1:]) for row in found]
        if len(found) < size:
            return
        after, left = int(found[-1][0]), None if left is None else left - size


async def next_page(tables: ClickHouse, asked: Asked) -> int | None:
    """As of documents."""
    if asked.limit is None:
        return None
    where, parameters = _where(asked)
    sql = (
        f"SELECT toInt64(p.kafka_offset) FROM stripe_pushes_raw AS p FINAL WHERE {where} "
        "ORDER BY p.kafka_offset LIMIT 2 OFFSET {skipped:UInt32}"
    )
    parameters |= {"after": asked.after, "skipped": asked.limit - 1}
    found = await tables.rows(sql, parameters, _SETTINGS)
    return int(found[0][0]) if len(found) > 1 else None


def _row(values: Sequence[Any]) -> Row:
    found = dict(zip((each.name for each in COLUMNS), values, strict=True))
    at = found["at"]
    return found | {"at": None if at is None else datetime.fromtimestamp(at / 1000, UTC)}


async def _refuse_changed(tables: ClickHouse, asked: Asked) -> None:
    """Raise ChangedError where a push lies behind ``as_of``: what it took the place of is not there any more."""
    where, parameters = _where(asked, behind=True)
    sql = f"SELECT count() FROM stripe_pushes_raw AS p FINAL WHERE {where}"
    ((count,),) = await tables.rows(sql, {**parameters, "after": asked.as_of.offset}, _SETTINGS)
    if count:
        raise ChangedError


def _where(asked: Asked, *, behind: bool = False) -> tuple[str, dict[str, Any]]:
    parts = ["p.kafka_offset > {after:Int64}"]
    parameters: dict[str, Any] = {}
    if not behind:
        parts.append("p.kafka_offset <= {upto:Int64}")
        parameters["upto"] = asked.as_of.offset
        if asked.since is not None:
            parts.append("p.kafka_offset > {since:Int64}")
            parameters["since"] = asked.since.offset
        if asked.status is not None:
            parts.append("p.state = {state:String}")
            parameters["state"] = asked.status
    if asked.tenants is not None:
        parts.append("p.tenant_id IN {tenants:Array(String)}")
        parameters["tenants"] = list(asked.tenants)
    for name, sign, moment in (("start", ">=", asked.start), ("end", "<", asked.end)):
        if moment is not None:
            parts.append(f"p.day {sign} toDate32({{{name}:String}})")
            parameters[name] = f"{moment:%Y-%m-%d}"
    return " AND ".join(parts), parameters
