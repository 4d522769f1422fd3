"""The kinds of exports. A new one is a ``Kind`` in ``ALL``: the API, the job and the command line then have it.

A kind is a name, columns with what they mean, and how its rows are read, in batches. One without a ledger is computed
for ``as_of`` when it is asked for: it has no pages and no increments.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from meterline_api.billing.exporting import computed, documents, journal, ledger, pushes
from meterline_api.billing.exporting.accounts import AccountSettings
from meterline_api.billing.exporting.as_of import Positions
from meterline_api.billing.exporting.asked import Asked, Sources
from meterline_api.billing.exporting.columns import Described, Row
from meterline_api.billing.exporting.sample import SAMPLE

Batches = AsyncIterator[Sequence[Row]]


async def _nowhere(_sources: Sources, _at: datetime | None) -> Positions | None:
    return None


async def _no_page(_sources: Sources, _asked: Asked) -> int | None:
    return None


@dataclass(frozen=True)
class Kind:
    """``read`` gives the rows. ``example`` has a value of each column.

    Of a kind with a ``ledger``, ``settle`` says where that was at an instant (None: where it is), and ``next_page``
    after which position the page behind one begins (None: there is none). All of them raise ``UnavailableError``.
    ``repeats``: the same moment always gives the same rows, so that the job can write it.
    """

    name: str
    about: str
    columns: tuple[Described, ...]
    read: Callable[[Sources, Asked], Batches]
    example: Mapping[str, Any]
    ledger: str = ""
    settle: Callable[[Sources, datetime | None], Awaitable[Positions | None]] = _nowhere
    next_page: Callable[[Sources, Asked], Awaitable[int | None]] = _no_page
    repeats: bool = False


async def _settled(sources: Sources, at: datetime | None) -> Positions | None:
    return await ledger.settled(sources.tables, at)


async def _next(sources: Sources, asked: Asked) -> int | None:
    return await ledger.next_page(sources.tables, asked)


async def _next_changed(sources: Sources, asked: Asked) -> int | None:
    return await ledger.next_page(sources.tables, asked, changed=True)


async def _invoices(sources: Sources, asked: Asked) -> Batches:
    async for found in ledger.documents(sources.tables, asked, changed=True):
        yield [row for invoice in found for row in documents.invoice_rows(invoice)]


async def _lines(sources: Sources, asked: Asked) -> Batches:
    async for found in ledger.documents(sources.tables, asked):
        yield [row for invoice in found for row in documents.line_rows(invoice)]


async def _journal(sources: Sources, asked: Asked) -> Batches:
    async for found in ledger.documents(sources.tables, asked):
        yield [row for invoice in found for row in journal.rows(invoice, sources.accounts)]


INVOICES: Final = Kind(
    "invoices",
    "Invoices and credit notes, a row each",
    documents.INVOICES,
    _invoices,
    next(documents.invoice_rows(SAMPLE)),
    ledger.NAME,
    _settled,
    _next_changed,
    repeats=True,
)
LINES: Final = Kind(
    "invoice-lines",
    "Lines of invoices and credit notes",
    documents.LINES,
    _lines,
    next(documents.line_rows(SAMPLE)),
    ledger.NAME,
    _settled,
    _next,
    repeats=True,
)
JOURNAL: Final = Kind(
    "journal",
    "General journal of revenue, double entries",
    journal.COLUMNS,
    _journal,
    next(journal.rows(SAMPLE, AccountSettings.model_construct())),
    ledger.NAME,
    _settled,
    _next,
    repeats=True,
)
PUSHES: Final = Kind(
    "stripe-pushes",
    "What Stripe was told of each customer, meter and day",
    pushes.COLUMNS,
    lambda sources, asked: pushes.rows(sources.tables, asked),
    pushes.EXAMPLE,
    pushes.NAME,
    lambda sources, at: pushes.settled(sources.tables, at),
    lambda sources, asked: pushes.next_page(sources.tables, asked),
)
ACCRUALS: Final = Kind(
    "accruals",
    "What was earned up to a cut-off and stands on no invoice",
    computed.ACCRUALS,
    computed.accruals,
    computed.ACCRUAL_EXAMPLE,
)
EXCEPTIONS: Final = Kind(
    "exceptions",
    "What needs a person before billing is whole, as a file",
    computed.EXCEPTIONS,
    computed.exceptions,
    computed.EXCEPTION_EXAMPLE,
)
ALL: Final = (INVOICES, LINES, JOURNAL, PUSHES, ACCRUALS, EXCEPTIONS)


def kind_of(name: str) -> Kind:
    """Raises KeyError."""
    return {kind.name: kind for kind in ALL}[name]
