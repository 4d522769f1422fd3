"""Accruals and exceptions as rows: computed when they are asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from meterline_api.billing.accruals.models import EXAMPLE as ACCRUAL
from meterline_api.billing.accruals.models import row_of as accrual_of
from meterline_api.billing.exceptions.found import Kind
from meterline_api.billing.exceptions.models import EXAMPLE as EXCEPTION
from meterline_api.billing.exceptions.models import row_of as exception_of
from meterline_api.billing.exporting.asked import Asked, Sources
from meterline_api.billing.exporting.columns import Described, Row, exact, instant, money, text
from meterline_api.formats.table import Column
from meterline_api.formats.table import Kind as ColumnKind

ACCRUALS: Final[tuple[Described, ...]] = (
    text("tenant_id", "Whose it is; nothing in a row with a problem", nullable=True),
    text("tenant_name", "Name of the tenant", nullable=True),
    text("plan", "Id of the plan that it is priced by", nullable=True),
    text("currency", "ISO 4217 code of the amounts", nullable=True),
    instant("period_from", "Start of the period that it is a part of", nullable=True),
    instant("period_to", "End of the period, not included", nullable=True),
    text("kind", "`base_fee`, `usage`, or `adjustment`: a change of what an invoice told", nullable=True),
    text("metric", "Key of the metric; nothing for a base fee", nullable=True),
    text("name", "What it is, for people", nullable=True),
    instant("from", "Start of what it is of", nullable=True),
    instant("to", "End of it, not included; the cut-off where the period goes on behind it", nullable=True),
    exact("share", "Which part of the period it is, where it is not the whole"),
    text("unit", "Unit of the quantity", nullable=True),
    exact("quantity", "How much was used"),
    exact("included", "What of it is not charged"),
    money("amount", "What it came to, rounded once", nullable=True),
    money("deferred", "What of the base fee belongs to the time behind the cut-off", nullable=True),
    text("origin", "Of an adjustment: the invoice that it is to", nullable=True),
    text("problem", "Why a tenant has no accruals; such a row has nothing else", nullable=True),
)
EXCEPTIONS: Final[tuple[Described, ...]] = (
    text("kind", "What it is, such as `unpriced_usage` or `no_plan`"),
    text("tenant_id", "Whose it is"),
    text("metric", "Key of the metric", nullable=True),
    instant("from", "Start of the time that it is about", nullable=True),
    instant("to", "End of it, not included", nullable=True),
    instant("since", "When it came about", nullable=True),
    Described(Column("events", ColumnKind.INTEGER, nullable=True), "How many events it is about", number=True),
    exact("quantity", "What they come to, in the metric's unit"),
    money("amount", "What is owed", nullable=True),
    text("currency", "ISO 4217 code of the amount", nullable=True),
    text("reference", "What it is about besides: an invoice, a push", nullable=True),
    text("detail", "What it is, in a sentence"),
    text("action", "What to do"),
)


def _example(columns: tuple[Described, ...], shown: Mapping[str, Any]) -> Row:
    instants = {each.name for each in columns if each.column.kind is ColumnKind.INSTANT}
    return {
        name: datetime.fromisoformat(value) if name in instants and value is not None else value
        for name, value in shown.items()
    }


ACCRUAL_EXAMPLE: Final = _example(ACCRUALS, {**ACCRUAL, "problem": None})
EXCEPTION_EXAMPLE: Final = _example(EXCEPTIONS, EXCEPTION)


async def accruals(sources: Sources, asked: Asked) -> AsyncIterator[Sequence[Row]]:
    """Up to the second of ``as_of``; of the events that had come by then, where that was asked for.

    Raises:
        UnavailableError: ClickHouse or Kafka does not answer.
    """
    at = asked.as_of.at.replace(microsecond=0)
    async for part in sources.accruals.all(asked.tenants, at, at if asked.fixed else None):
        found = [accrual_of(each) for each in part.found]
        yield [
            *(row for row in found if asked.currency in (None, row["currency"])),
            *({"problem": problem} for problem in part.problems),
        ]


async def exceptions(sources: Sources, asked: Asked) -> AsyncIterator[Sequence[Row]]:
    """As they are now; usage from ``start`` on.

    Raises:
        UnavailableError: ClickHouse or Kafka does not answer.
    """
    found = await sources.exceptions.all(tuple(Kind), asked.tenants, asked.as_of.at, asked.start)
    yield [exception_of(each) for each in sorted(found, key=lambda each: each.place)]
