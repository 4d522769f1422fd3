"""Which days are closed, against a recount by quarters of an hour of which invoices are written."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from meterline_schemas.billing.invoice import DocumentKind, Invoice, encode
from meterline_schemas.catalog import Entry, Plan, PlanVersion, Span, TenantPlan
from meterline_schemas.periods import Period
from meterline_sinks.invoice_rows import invoice_row
from meterline_sinks.rows import catalog_row
from tests.sinks.conftest import Tables
from tests.sinks.usage import Event, total

DAY, HOUR, QUARTER = timedelta(days=1), timedelta(hours=1), timedelta(minutes=15)
KINDS = ["daily", "monthly", "billing"]
ZONES = ["UTC", "Europe/Vienna", "Asia/Kolkata", "America/New_York", "Pacific/Apia"]
ANCHOR = 15
Row = tuple[str, date, str, datetime | None, list[str]]


@dataclass
class Document:
    number: str
    kind: str  # of its plan
    start: datetime
    end: datetime
    issued_at: datetime
    void: bool = False


@dataclass
class Company:
    """``spans`` are the instants from which it is on a plan of which kind, None: on none."""

    id: str
    zone: str = "UTC"
    spans: list[tuple[datetime, str | None]] = field(default_factory=list)
    used: set[date] = field(default_factory=set)
    documents: list[Document] = field(default_factory=list)

    def kind_at(self, at: datetime) -> str | None:
        return next((kind for start, kind in reversed(self.spans) if start <= at), None)

    def close(self, kind: str, start: datetime, end: datetime, *, void: bool = False) -> None:
        """Write the invoice of a period."""
        number = f"{self.id}-{len(self.documents) + 8}"  # their text is not in their order
        self.documents.append(Document(number, kind, start, end, end + 30 * HOUR + timedelta(milliseconds=1), void))


def midnight(day: date, zone: str) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)


def bounds(at: datetime, kind: str, zone: str) -> tuple[datetime, datetime]:
    local = at.astimezone(ZoneInfo(zone)).date()
    if kind == "daily":
        return midnight(local, zone), midnight(local + DAY, zone)
    first = ANCHOR if kind == "billing" else 1
    starts = [date(2026, month, first) for month in range(1, 13)]
    return next((midnight(a, zone), midnight(b, zone)) for a, b in pairwise(starts) if a <= local < b)


def recounted(companies: list[Company]) -> Iterator[Row]:
    for company in companies:
        days: dict[date, set[datetime]] = {day: set() for day in company.used}  # what of it lies in a period
        found: dict[date, list[Document]] = {}
        for document in company.documents:
            at = document.start
            while at < document.end:
                if company.kind_at(at) in (None, document.kind):
                    days.setdefault(at.date(), set()).add(at)
                    of_day = found.setdefault(at.date(), [])
                    of_day += [document] if document not in of_day else []
                at += QUARTER
        for day, quarters in days.items():
            documents = found.get(day, [])
            closed = len(quarters) == 96
            state = "open" if not closed else "void" if any(each.void for each in documents) else "closed"
            closed_at = max(each.issued_at for each in documents) if closed else None
            yield company.id, day, state, closed_at, [each.number for each in documents]


def plant(tables: Tables, companies: list[Company]) -> None:
    entries: list[Entry] = [
        Plan(id=kind, currency="EUR", period=Period(kind), versions=(PlanVersion(),)) for kind in KINDS
    ]
    for company in companies:
        spans = tuple(Span(start=start, plan=kind) for start, kind in company.spans)
        entries += [TenantPlan(tenant_id=company.id, spans=spans)] if spans else []
    made: dict[str, list[bytes]] = {}
    for turn, entry in enumerate(entries):
        table, row = catalog_row(turn, entry.record_key, entry.encode()) or ("", b"")
        made.setdefault(table, []).append(row)
    for table, lines in made.items():
        tables.insert(table, lines)
    rows: list[bytes] = []
    for company in companies:
        for each in company.documents:
            rows.append(row_of(company, each, DocumentKind.INVOICE, len(rows)))
            if each.void:
                rows.append(row_of(company, each, DocumentKind.CREDIT_NOTE, len(rows)))
    tables.insert("invoices_raw", rows)
    tables.insert("invoices_raw", rows[::3])  # some of it is written twice
    hours = [
        (company.id, midnight(day, "UTC") + turn * HOUR)
        for company in companies
        for turn, day in enumerate(company.used)
    ]
    events = [Event(id, "calls", at, "a", Decimal(1), turn % 3 == 0, 0, turn) for turn, (id, at) in enumerate(hours)]
    tables.insert("usage_totals", [total([event], 1) for event in events if not event.late])
    tables.insert("usage_events_raw", [event.line() for event in events if event.late])


def row_of(company: Company, document: Document, kind: DocumentKind, offset: int) -> bytes:
    note = kind is DocumentKind.CREDIT_NOTE
    found = Invoice(
        number=f"CN-{document.number}" if note else document.number,
        kind=kind,
        tenant_id=company.id,
        tenant_name="",
        plan=document.kind,
        currency="EUR",
        start=document.start,
        end=document.end,
        lines=(),
        total=Decimal(0),
        issued_at=document.issued_at + 9 * DAY if note else document.issued_at,
        of=document.number if note else "",
    )
    return invoice_row(offset, found.key, encode(found))[1]


def shown(tables: Tables, condition: str = "true") -> list[Row]:
    rows = tables.rows(f"SELECT tenant_id, day, state, closed_at, invoices FROM usage_days WHERE {condition}")
    return sorted((*row[:3], row[3] and row[3].replace(tzinfo=UTC), row[4]) for row in rows)


def october(day: int, zone: str = "UTC") -> datetime:
    return midnight(date(2026, 10, 1) + (day - 1) * DAY, zone)


def test_a_day_is_closed_once_all_of_it_lies_in_periods_whose_invoices_are_written(tables: Tables) -> None:
    utc = Company("utc", spans=[(october(5), "monthly")], used={date(2026, 11, 1)})
    utc.close("monthly", october(1), october(32))
    vienna = Company("vienna", "Europe/Vienna", [(october(1, "Europe/Vienna"), "monthly")], {date(2026, 11, 20)})
    vienna.close("monthly", october(1, vienna.zone), october(32, vienna.zone))
    kolkata = Company("kolkata", "Asia/Kolkata", [(october(1, "Asia/Kolkata"), "daily")])
    for day in (1, 2, 3):
        kolkata.close("daily", october(day, kolkata.zone), october(day + 1, kolkata.zone), void=day == 3)
    plant(tables, [utc, vienna, kolkata, Company("free", used={date(2026, 10, 2)})])
    states = {row[:2]: (row[2], row[4]) for row in shown(tables)}
    assert {day for (id, day), (state, _) in states.items() if (id, state) == ("utc", "closed")} == {
        date(2026, 10, day) for day in range(1, 32)
    }
    assert states["utc", date(2026, 11, 1)] == ("open", [])
    assert states["vienna", date(2026, 9, 30)] == ("open", ["vienna-8"]), "the most of it lies before its first period"
    assert states["vienna", date(2026, 10, 30)] == ("closed", ["vienna-8"])
    assert states["vienna", date(2026, 10, 31)] == ("open", ["vienna-8"]), "its last hour is of November there"
    assert states["kolkata", date(2026, 10, 1)] == ("closed", ["kolkata-8", "kolkata-9"])
    assert states["kolkata", date(2026, 10, 2)] == ("void", ["kolkata-9", "kolkata-10"])
    assert states["kolkata", date(2026, 10, 3)] == ("open", ["kolkata-10"])
    assert states["free", date(2026, 10, 2)] == ("open", [])


@pytest.mark.parametrize("seed", range(3))
def test_days_are_as_a_recount_says_whatever_the_zone_and_wherever_the_plan_changed(tables: Tables, seed: int) -> None:
    chance = random.Random(seed)
    companies = [company(f"t{number}", chance) for number in range(25)]
    plant(tables, companies)
    expected = sorted(recounted(companies))
    assert {row[2] for row in expected} == {"open", "closed", "void"}
    assert shown(tables) == expected
    assert shown(tables, "tenant_id = 't3' AND day >= '2026-09-01'") == [
        row for row in expected if row[0] == "t3" and row[1] >= date(2026, 9, 1)
    ]


def company(id: str, chance: random.Random) -> Company:
    """On a plan from some hour on, on another or none from another; closed period by period up to somewhere."""
    zone = chance.choice(ZONES)
    made = Company(id, zone)
    at = midnight(date(2026, 8, 1), zone) + chance.randrange(40 * 24) * HOUR
    for _ in range(chance.randrange(4)):
        made.spans.append((at, chance.choice([*KINDS, None])))
        at = midnight(at.date() + chance.randrange(35, 60) * DAY, zone) + chance.choice([0, 0, 7]) * HOUR
    now = midnight(date(2026, 9, 1), zone) + chance.randrange(90) * DAY
    at = made.spans[0][0] if made.spans else now
    while at < now:
        kind = made.kind_at(at)
        later = [(start, other) for start, other in made.spans if start > at and other is not None]
        if kind is None:
            at = later[0][0] if later else now
            continue
        start, end = bounds(at, kind, zone)
        if end > now:
            break
        made.close(kind, start, end, void=chance.random() < 0.1)
        at = next((begin for begin, other in later if begin < end and other != kind), end)
    made.used = {date(2026, 8, 1) + chance.randrange(120) * DAY for _ in range(10)}
    return made


def test_a_question_of_one_tenant_reads_only_its_own_rows(tables: Tables) -> None:
    utc = Company("utc", spans=[(october(5), "monthly")], used={date(2026, 10, 1), date(2026, 10, 2)})
    utc.close("monthly", october(1), october(32))
    plant(tables, [utc])
    plan = "\n".join(
        row[0] for row in tables.rows("EXPLAIN indexes = 1 SELECT * FROM usage_days WHERE tenant_id = 'utc'")
    )
    assert plan.count("tenant_id in ['utc', 'utc']") == 4, (
        plan
    )  # totals, those of late events, invoices, plans of the tenant
