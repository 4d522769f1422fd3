"""Every amount of any invoice stands in all of its four forms; the same invoice is the same bytes."""

from __future__ import annotations

import csv
import html
import io
import json
import re
import subprocess
import sys
from datetime import UTC, timedelta, timezone
from decimal import Decimal
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from pypdf import PdfReader
from pypdfium2 import PdfDocument

from meterline_api.billing.rendering.csv import COLUMNS, as_csv
from meterline_api.billing.rendering.html import as_html
from meterline_api.billing.rendering.json import as_json
from meterline_api.billing.rendering.pdf import as_pdf
from meterline_api.billing.rendering.sheet import TAX
from meterline_schemas.billing.invoice import Exchange, Invoice, Line, LineKind, Status
from tests.api.billing.rendering import samples
from tests.support.examples import few

DIGITS: Final = {"USD": 2, "EUR": 2, "GBP": 2, "JPY": 0, "KWD": 3}
GENERATE: Final = (Phase.explicit, Phase.reuse, Phase.generate)  # a PDF takes too long to look for a smaller one
TEXTS: Final = st.one_of(
    st.sampled_from(
        [
            "<script>alert(1)</script>",
            '=HYPERLINK("http://x")',
            "日本株式会社",
            "שלום",
            "شركة",
            "Ωmega Ж",
            "\u202e00.1",
            "a\r\n,b",
        ]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
)


@st.composite
def lines(draw: st.DrawFn, currency: str) -> Line:
    units = draw(st.integers(-(10**11), 10**11))
    return Line(
        kind=draw(st.sampled_from(LineKind)),
        amount=Decimal(units).scaleb(-DIGITS[currency]),
        start=samples.START,
        end=samples.END - timedelta(days=draw(st.integers(0, 30))),
        name=draw(TEXTS),
        description=draw(TEXTS),
        unit=draw(st.sampled_from(["", "GB", "=1"])),
        quantity=draw(st.none() | st.decimals(0, 10**12, places=9)),
        rate=draw(st.none() | st.decimals(0, 100, places=6)),
        share=draw(st.none() | st.just(Decimal(1) / 3)),
        origin=draw(st.sampled_from(["", "2024-000001"])),
    )


@st.composite
def invoices(draw: st.DrawFn) -> Invoice:
    currency = draw(st.sampled_from(sorted(DIGITS)))
    found = tuple(draw(st.lists(lines(currency), min_size=1, max_size=4)))
    return samples.invoice(
        currency=currency,
        tenant_name=draw(TEXTS),
        reason=draw(TEXTS),
        status=draw(st.sampled_from(Status)),
        lines=found,
        total=sum((line.amount for line in found), Decimal(0)),
    )


def written(amount: Decimal, currency: str, *, grouped: bool = False) -> str:
    """By Python's own formatting, as an independent way to the same text."""
    return format(amount + 0, f"{',' if grouped else ''}.{DIGITS[currency]}f")


def page_text(page: bytes) -> str:
    body = re.sub(r"<style>.*?</style>", "", page.decode(), flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


def pdf_text(file: bytes) -> str:
    """As PDFium reads it: `pypdf` takes the sign of a number for the end of a right-to-left name before it."""
    with PdfDocument(file) as document:
        return "\n".join(page.get_textpage().get_text_range().replace("\r\n", "\n") for page in document)


def table(file: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(file.decode(), newline="")))


@settings(max_examples=few(6), deadline=None, phases=GENERATE, suppress_health_check=[HealthCheck.too_slow])
@given(invoices())
def test_every_amount_and_the_total_stand_in_every_form(invoice: Invoice) -> None:
    amounts = [line.amount for line in invoice.lines]
    plain = [written(amount, invoice.currency) for amount in amounts]
    shown = [written(amount, invoice.currency, grouped=True) for amount in amounts]
    total = written(invoice.total, invoice.currency)

    document = json.loads(as_json(invoice))
    assert [line["amount"] for line in document["lines"]] == plain
    assert document["total"] == total

    rows = table(as_csv(invoice))
    assert [row["line_amount"] for row in rows] == plain
    assert {row["total"] for row in rows} == {total}

    bare = written(abs(invoice.total), invoice.currency, grouped=True)
    for text in (page_text(as_html(invoice)), pdf_text(as_pdf(invoice))):
        found = re.findall(r"(?<![\d.,-])-?\d[\d,]*(?:\.\d+)?", text)
        for amount in shown:
            assert amount in found
            found.remove(amount)
        assert f"{bare} {invoice.currency}" in text


@settings(max_examples=few(3), deadline=None, phases=GENERATE, suppress_health_check=[HealthCheck.too_slow])
@given(invoices())
def test_a_second_rendering_is_the_same_bytes(invoice: Invoice) -> None:
    zoned = replace(invoice, start=invoice.start.astimezone(timezone(timedelta(hours=5))), cut={"2": 5, "10": 7})
    padded = replace(zoned, total=zoned.total + Decimal("0.0000"))
    assert padded == invoice
    for render in (as_json, as_csv, as_html, as_pdf):
        assert render(padded) == render(invoice)


def test_another_process_on_another_day_makes_the_same_pdf() -> None:
    code = (
        "import hashlib, time; real = time.time; time.time = lambda: real() + 10**7\n"
        "from tests.api.billing.rendering import samples; from meterline_api.billing.rendering.pdf import as_pdf\n"
        "print(hashlib.sha256(as_pdf(samples.draft(), samples.SELLER)).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


def test_the_date_of_a_pdf_is_that_of_the_invoice() -> None:
    found = PdfReader(io.BytesIO(as_pdf(samples.invoice()))).metadata
    assert found is not None
    assert found.creation_date == samples.ISSUED
    assert found.title == "Invoice 2025-000042 – Optical Labs Inc."


def test_the_example_company_is_billed_to_the_cent() -> None:
    for text in (
        page_text(as_html(samples.invoice(), samples.SELLER)),
        pdf_text(as_pdf(samples.invoice(), samples.SELLER)),
    ):
        for wanted in (
            "Invoice 2025-000042", "Meterline GmbH", "1010 Wien", "VAT ATU12345678", "Optical Labs Inc.",
            "Tenant optical-labs", "1 January 2025 – 31 January 2025 (UTC)", "2 February 2025", "199.00", "1,250 order",
            "0.10 per order", "125.00", "45 GB", "1.00 per GB", "0.01 per 1,000", "0.50", "$478.50 USD", TAX,
                "Due in 14 days.",
        ):  # fmt: skip
            assert wanted in text
        assert "DRAFT" not in text


@pytest.mark.parametrize("render", [lambda each: page_text(as_html(each)), lambda each: pdf_text(as_pdf(each))])
def test_a_document_says_what_it_is(render: Any) -> None:
    draft = render(samples.draft())
    assert "DRAFT" in draft
    assert "none yet" in draft
    assert "VOID" in render(samples.invoice(status=Status.VOID))
    note = render(samples.credit_note())
    for wanted in (
        "Credit note 2025-000043",
        "Invoice 2025-000042",
        "Billed to the wrong company",
        "-$478.50 USD",
        "-125.00",
    ):
        assert wanted in note


@pytest.mark.parametrize("render", [lambda each: page_text(as_html(each)), lambda each: pdf_text(as_pdf(each))])
def test_tiers_parts_of_a_period_adjustments_and_exchange_are_explained(render: Any) -> None:
    text = render(samples.long(6))
    for wanted in (
        "up to 10,000", "10,000 to 25,000", "above 25,000", "0.035 + 10.00 flat", "Discount, minimum or cap", "-162.50",
        "48.3871 % of the period", "1 January 2025 – 15 January 2025", "Plan starter",
        "Adjustment to invoice 2024-000913",
        "1 December 2024 – 31 December 2024", "Γραφεία и места, façade", "Goodwill for the outage",
        "at 0.9614 EUR for 1 USD (2025-01-31, ECB)",
    ):  # fmt: skip
        assert wanted in text


def test_days_are_those_of_the_zone_and_times_are_shown_where_it_is_not_of_days() -> None:
    kolkata = samples.invoice(start=samples.START - timedelta(hours=5.5), end=samples.END - timedelta(hours=5.5))
    assert "1 January 2025 – 31 January 2025 (Asia/Kolkata)" in page_text(as_html(kolkata, zone="Asia/Kolkata"))
    assert "31 December 2024 18:30 – 31 January 2025 18:30 (UTC)" in page_text(as_html(kolkata))


def test_two_hundred_lines_run_over_pages_with_headings_and_numbers() -> None:
    pages = [page.extract_text() for page in PdfReader(io.BytesIO(as_pdf(samples.long()))).pages]
    assert len(pages) > 5
    for number, page in enumerate(pages, 1):
        assert f"Page {number} of {len(pages)}" in page
        assert "Description" in page
        assert "Invoice 2025-000042" in page
    everything = "\n".join(pages)
    assert (
        sum(everything.count(name) for name in ("Emails sent", "Base fee", "Orders", "Γραφεία", "Manual adjustment"))
        == 200
    )


def test_hostile_names_are_text_in_html() -> None:
    hostile = '"><script>alert(1)</script><img src=x onerror=y>\u202e'
    line = replace(
        samples.COMPANY_LINES[1],
        name=hostile,
        description=hostile,
        unit="<b>",
        events="javascript:alert(1)",
        origin=hostile,
    )
    page = as_html(samples.invoice(tenant_name=hostile, tenant_id=hostile, number=hostile, lines=(line,))).decode()
    assert page.count("<script") == page.count("<img") == page.count("<b>") == 0
    assert "javascript:" not in page
    assert "\u202e" not in page
    assert "&lt;script&gt;" in page


def test_a_page_of_html_needs_nothing_besides_itself() -> None:
    page = as_html(samples.draft(), samples.SELLER).decode()
    assert not re.search(r"https?:|\bsrc=|@import|url\(|<link|<script", page)
    assert re.findall(r'href="([^"]*)"', page) == ["/v1/usage/events?metric=emails&amp;from=2025-01-01T00:00:00Z"]
    assert '<html lang="en">' in page
    assert page.count('scope="col"') == 5
    assert "<caption>" in page


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "＝1"])
def test_a_spreadsheet_reads_no_text_of_csv_as_a_formula(text: str) -> None:
    line = replace(
        samples.COMPANY_LINES[1], name=text, description=text, unit=text, metric=text, amount=Decimal("-1.50")
    )
    (row,) = table(as_csv(samples.invoice(tenant_id=text, tenant_name=text, lines=(line,), total=Decimal("-1.50"))))
    for name in ("tenant_id", "tenant_name", "line_name", "line_description", "line_unit", "line_metric"):
        assert row[name] == f"'{text}"
    assert row["line_amount"] == row["total"] == "-1.50"
    assert list(row) == [column.name for column in COLUMNS]


def test_csv_has_the_tiers_and_the_exchange() -> None:
    row = table(as_csv(samples.long(1)))[0]
    assert [tier["quantity"] for tier in json.loads(row["line_tiers"])] == ["10000", "15000", "1500"]
    assert (row["exchange_currency"], row["exchange_rate"]) == ("EUR", "0.9614")


@pytest.mark.parametrize(
    "name", ["日本株式会社", "שלום חברה", "شركة الاختبار", "👩‍👩‍👧", "x" * 1000, "word " * 200, "\x00\x07"]
)
def test_no_name_breaks_a_pdf(name: str) -> None:
    line = replace(samples.COMPANY_LINES[1], name=name, description=name, unit=name[:64], plan=name)
    file = as_pdf(samples.invoice(tenant_name=name, tenant_id=name, number=name[:60], reason=name, lines=(line,) * 3))
    assert pdf_text(file).count("125.00") == 3


def test_a_number_is_not_broken_however_long() -> None:
    amount = Decimal("-123456789012.345")
    line = replace(samples.COMPANY_LINES[1], amount=amount, quantity=Decimal("123456789012345.678901234"))
    text = pdf_text(as_pdf(samples.invoice(currency="KWD", lines=(line,), total=amount)))
    assert "-123,456,789,012.345" in text
    assert "123,456,789,012,345.678901234" in text
    assert "-123,456,789,012.345 KWD" in text


def test_currencies_have_their_sign_and_their_digits() -> None:
    exchange = Exchange("KWD", Decimal("0.0021"), "", "2025-01-31", Decimal("2.59"))
    yen = samples.invoice(
        currency="JPY", lines=(samples.usage("m", "M", "3", "411.5", "1235"),), total=Decimal(1235), exchange=exchange
    )
    text = pdf_text(as_pdf(yen))
    assert "¥1,235 JPY" in text
    assert "2.590 KWD" in text
    for currency, sign in (("EUR", "€"), ("GBP", "£")):
        assert f"{sign}478.50 {currency}" in pdf_text(as_pdf(samples.invoice(currency=currency)))


def test_instants_are_utc_in_json() -> None:
    document = json.loads(as_json(samples.invoice(issued_at=samples.ISSUED.astimezone(timezone(timedelta(hours=-3))))))
    assert document["issued_at"] == samples.ISSUED.astimezone(UTC).isoformat().replace("+00:00", "Z")
    assert list(document["cut"]) == ["2", "10"]
