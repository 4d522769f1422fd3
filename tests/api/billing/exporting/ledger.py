"""A ledger of documents that grows: written into ClickHouse as the sink writes it."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec

from meterline_api.billing.invoices.document import credit_note_of
from meterline_schemas.billing.invoice import DocumentKind, Invoice, Line, LineKind, encode
from meterline_schemas.currencies import minor_digits
from meterline_schemas.settings import ClickHouseSettings
from meterline_sinks.clickhouse import ClickHouse
from meterline_sinks.invoice_rows import invoice_row

OCTOBER = datetime(2026, 10, 1, tzinfo=UTC)
NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)
TENANTS = ("acme", "=cmd()", "büro, GmbH")
CURRENCIES = {"acme": "USD", "=cmd()": "JPY", "büro, GmbH": "KWD"}


class Ledger:
    """``issued`` is when the last document was issued; each is so a second after the one before."""

    def __init__(self, database: ClickHouseSettings, seed: int = 7) -> None:
        self._database = database
        self._random = random.Random(seed)
        self._offset = -1
        self._numbers = {DocumentKind.INVOICE: 0, DocumentKind.CREDIT_NOTE: 0}
        self.issued = datetime(2026, 11, 2, tzinfo=UTC)
        self.documents: list[Invoice] = []
        self.voided: set[str] = set()

    def invoice(self, tenant_id: str = "", start: datetime = OCTOBER, end: datetime | None = None) -> Invoice:
        """Of a period in October, or of the one that starts then."""
        tenant_id = tenant_id or self._random.choice(TENANTS)
        lines = tuple(self._line(kind, tenant_id, start) for kind in self._kinds())
        total = sum((line.amount for line in lines), Decimal(0))
        end = end or start + timedelta(days=30)
        plan = lines[0].plan if lines else "plan"
        made = Invoice(
            "", DocumentKind.INVOICE, tenant_id, f"Name of {tenant_id}", plan, CURRENCIES[tenant_id], start, end,
            lines, total, OCTOBER,
        )  # fmt: skip
        return self._write(made)

    def void(self, number: str) -> Invoice:
        invoice = next(each for each in self.documents if each.number == number)
        self.voided.add(number)
        return self._write(credit_note_of(invoice, '@SUM(1+1)*"agreed"', OCTOBER))

    def open(self) -> list[str]:
        """Numbers of invoices that are not taken back."""
        kinds = [each.number for each in self.documents if each.kind is DocumentKind.INVOICE]
        return [number for number in kinds if number not in self.voided]

    def grow(self) -> None:
        """By a few documents, some of them credit notes."""
        for _each in range(self._random.randint(0, 4)):
            if self.open() and self._random.random() < 0.35:
                self.void(self._random.choice(self.open()))
            else:
                self.invoice(start=self._random.choice((OCTOBER, NOVEMBER)))

    def _kinds(self) -> list[LineKind]:
        return [
            LineKind.BASE_FEE,
            *(self._random.choice(list(LineKind)) for _each in range(self._random.randint(0, 4))),
        ]

    def _line(self, kind: LineKind, tenant_id: str, start: datetime) -> Line:
        unit = Decimal(1).scaleb(-minor_digits(CURRENCIES[tenant_id]))
        least = -5000 if kind in (LineKind.ADJUSTMENT, LineKind.MANUAL) else 0
        amount = unit * self._random.randint(least, 100_000)
        used = kind in (LineKind.USAGE, LineKind.ADJUSTMENT)
        return Line(
            kind,
            amount,
            start,
            start + timedelta(days=30),
            plan="plan",
            metric=self._random.choice(("orders", "mail.sent", "+calls")) if used else "",
            name="=1+1" if kind is LineKind.MANUAL else "name",
            quantity=Decimal(self._random.randint(-9, 9)) / 7 if used else None,
            rate=unit if used else None,
            per=Decimal(1000) if used else None,
            origin="INV-000001" if kind is LineKind.ADJUSTMENT else "",
        )

    def _write(self, made: Invoice) -> Invoice:
        self._offset += self._random.randint(1, 3)  # marks of transactions take offsets
        self.issued += timedelta(seconds=1)
        self._numbers[made.kind] += 1
        prefix = "INV" if made.kind is DocumentKind.INVOICE else "CN"
        numbered = msgspec.structs.replace(
            made, number=f"{prefix}-{self._numbers[made.kind]:06d}", issued_at=self.issued
        )
        self.documents.append(numbered)
        edge = ClickHouse(self._database, self._database.database)
        for _twice in range(2):
            edge.insert(*invoice_row(self._offset, numbered.key, encode(numbered)))
        edge.close()
        return numbered
