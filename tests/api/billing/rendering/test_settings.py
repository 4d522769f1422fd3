"""Who an invoice is from, as it is configured."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from pypdf import PdfReader

from meterline_api.billing.rendering.pdf import as_pdf
from meterline_api.billing.rendering.settings import DocumentSettings
from meterline_api.billing.rendering.sheet import NOBODY
from meterline_schemas.errors import ConfigurationError
from meterline_schemas.settings import load
from tests.api.billing.rendering import samples


def test_nothing_is_said_of_a_seller_that_is_not_configured() -> None:
    assert load(DocumentSettings).seller == NOBODY


def test_an_address_has_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METERLINE_BILLING_SELLER_NAME", "Meterline GmbH")
    monkeypatch.setenv("METERLINE_BILLING_SELLER_ADDRESS", "Ring 1; 1010 Wien\nAustria")
    monkeypatch.setenv("METERLINE_BILLING_NOTE", "Due in 14 days.")
    seller = load(DocumentSettings).seller
    assert (seller.name, seller.address, seller.note) == (
        "Meterline GmbH",
        ("Ring 1", "1010 Wien", "Austria"),
        ("Due in 14 days.",),
    )


def test_a_font_must_be_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("METERLINE_BILLING_FONT", str(tmp_path / "none.ttf"))
    with pytest.raises(ConfigurationError, match="METERLINE_BILLING_FONT"):
        load(DocumentSettings)


def test_a_font_has_what_ours_lacks(tmp_path: Path) -> None:
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, 700), (700, 700), (700, 0)):
        pen.lineTo(corner)
    pen.closePath()
    names = [".notdef", "sun"]
    font = FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder(names)
    font.setupCharacterMap({0x65E5: "sun"})
    font.setupGlyf(dict.fromkeys(names, pen.glyph()))
    font.setupHorizontalMetrics(dict.fromkeys(names, (800, 0)))
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": "More", "styleName": "Regular", "psName": "More-Regular"})
    font.setupOS2()
    font.setupPost()
    font.save(tmp_path / "more.ttf")
    invoice = samples.invoice(tenant_name="日 Ltd")
    with_it, without = as_pdf(invoice, font=tmp_path / "more.ttf"), as_pdf(invoice)
    assert "日 Ltd" in PdfReader(io.BytesIO(with_it)).pages[0].extract_text()
    assert "\ufffd Ltd" in PdfReader(io.BytesIO(without)).pages[0].extract_text()
