"""An invoice as PDF, with fpdf2. The only module that knows it.

Nothing in a file is of the moment it was made at: its date is that of the invoice, its id a hash of its content.
Another version of fpdf2, of fonttools or of a font may write other bytes for the same pages.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path
from typing import Final, cast

from fpdf import FPDF
from fpdf.enums import Align, MethodReturnValue, XPos, YPos
from fpdf.fonts import TTFFont

from meterline_api.billing.rendering.sheet import NOBODY, Part, Row, Seller, Sheet, sheet_of
from meterline_schemas.billing.invoice import Invoice

_FONTS: Final = Path(__file__).parent / "fonts"
_FAMILY: Final = "dejavu"
_MORE: Final = "more"
_UNKNOWN: Final = "\ufffd"
_INK, _GREY, _PALE, _RULE = 26, 90, 232, 205
_MARGIN: Final = 16.0  # millimetres, as all lengths here; sizes of type are in points
_FOOT: Final = 18.0
_WIDTHS: Final = (66.0, 29.0, 24.0, 31.0, 28.0)
_INDENT: Final = 4.0
_GAP: Final = 1.6
_HEADINGS: Final = ("Description", "Quantity", "Included", "Rate")
_RIGHT_TO_LEFT: Final = {"R", "AL", "AN"}


def as_pdf(invoice: Invoice, seller: Seller = NOBODY, zone: str = "UTC", font: Path | None = None) -> bytes:
    """Days are those of ``zone``; ``font`` has what DejaVu Sans lacks. What neither has is shown as �."""
    sheet = sheet_of(invoice, seller, zone)
    paper = _Paper(sheet, font)
    paper.set_creation_date(invoice.issued_at.astimezone(UTC))
    paper.add_page()
    paper.head()
    paper.lines()
    paper.foot()
    return bytes(paper.output())


class _Paper(FPDF):
    """Pages that begin with the mark and, after the first, with what the document is and the table's headings."""

    def __init__(self, sheet: Sheet, font: Path | None) -> None:
        super().__init__(format="A4")
        self._sheet = sheet
        self._in_table = False
        self.add_font(_FAMILY, "", _FONTS / "DejaVuSans.ttf")
        self.add_font(_FAMILY, "B", _FONTS / "DejaVuSans-Bold.ttf")
        known = self._characters(_FAMILY) & self._characters(f"{_FAMILY}B")
        if font is not None:
            self.add_font(_MORE, "", font)
            self.set_fallback_fonts([_MORE], exact_match=False)
            known |= self._characters(_MORE)
        self._known = known
        self.set_margin(_MARGIN)
        self.c_margin = 0
        self.set_auto_page_break(True, _FOOT)
        self.set_lang("en")
        self.set_title(f"{self._name} – {sheet.tenant}")
        self.set_producer("Meterline")
        self.alias_nb_pages("{nb}")

    @property
    def _name(self) -> str:
        return f"{self._sheet.title} {self._sheet.number}".rstrip()

    def _characters(self, font: str) -> set[int]:
        found = self.fonts[font]
        return set(found.cmap) if isinstance(found, TTFFont) else set()

    def header(self) -> None:
        if self._sheet.mark:
            self._type(110, "B", _PALE)
            width = self.get_string_width(self._sheet.mark)
            middle = self.w / 2, self.h / 2
            with self.rotation(45, *middle):
                self.text(middle[0] - width / 2, middle[1] + 13, self._sheet.mark)
        if self.page_no() > 1:
            self._type(8, "", _GREY)
            self._put(self.epw, self._one_line(f"{self._name} – {self._sheet.tenant}", self.epw))
            self.ln(3)
        if self._in_table:
            self._headings()

    def footer(self) -> None:
        self.set_y(-_FOOT + 7)
        self._type(8, "", _GREY)
        self.cell(self.epw, 4, f"Page {self.page_no()} of {{nb}}", align=Align.C)

    def head(self) -> None:
        """Everything above the table."""
        left, right, top = self.epw * 0.6, self.epw * 0.38, self.get_y()
        self._type(18, "B")
        self._put(left, self._name)
        if self._sheet.mark:
            self._type(11, "B")
            self._put(left, self._sheet.mark)
        bottom = self.get_y()
        self.set_y(top)
        for place, line in enumerate(self._sheet.seller):
            self._type(9.5, "" if place else "B")
            self._put(right, line, Align.R, self.l_margin + self.epw - right)
        self.set_y(max(bottom, self.get_y()) + 8)
        self._type(8, "", _GREY)
        self._put(self.epw, "For")
        self._type(11, "B")
        self._put(self.epw, self._sheet.tenant)
        self._type(8, "", _GREY)
        self._put(self.epw, f"Tenant {self._sheet.tenant_id}")
        self.ln(5)
        for label, text in self._sheet.facts:
            top = self.get_y()
            self._type(9, "", _GREY)
            self._put(28, label)
            self._type(9)
            self.set_y(top)
            self._put(self.epw - 28, text, x=self.l_margin + 28)
        self.ln(6)

    def lines(self) -> None:
        self._headings()
        self._in_table = True
        for place, row in enumerate(self._sheet.rows):
            if place:
                self._rule(_RULE, 0.2)
                self.ln(_GAP)
            self._row(row)
        self._in_table = False

    def foot(self) -> None:
        """The total and what stands below it."""
        self._type(12, "B")
        self._room(self._height(self._sheet.total, self.epw - 40) + 6)
        self._rule(_INK, 0.5)
        self.ln(2)
        top = self.get_y()
        self._put(40, "Total")
        self.set_y(top)
        self._put(self.epw - 40, self._sheet.total, Align.R, self.l_margin + 40)
        self.ln(8)
        self._type(8, "", _GREY)
        for line in self._sheet.below:
            self._put(self.epw, line)
            self.ln(1)

    def _headings(self) -> None:
        self._type(8.5, "B")
        self._cells((*_HEADINGS, self._sheet.amounts))
        self.ln(1)
        self._rule(_INK, 0.5)
        self.ln(_GAP)

    def _row(self, row: Row) -> None:
        """A line with its notes and, if they fit on a page, its parts; never a part without anything above it."""
        cells = (row.name, row.quantity, row.included, row.rate, row.amount)
        self._type(9)
        height = self._tallest(cells)
        self._type(7.5)
        height += sum(self._height(note, _WIDTHS[0]) for note in row.notes)
        height += sum(self._tallest(_of_part(part), _INDENT) for part in row.parts) + 2 * _GAP
        self._room(min(height, self.h / 2))
        self._type(9)
        self._cells(cells)
        self._type(7.5, "", _GREY)
        for note in row.notes:
            self._put(_WIDTHS[0], note)
        for part in row.parts:
            self._room(self._tallest(_of_part(part), _INDENT))
            self._type(7.5, "", _GREY)
            self._cells(_of_part(part), _INDENT)
        self.ln(_GAP)

    def _cells(self, cells: Sequence[str], indent: float = 0) -> None:
        """One beside the other, each in as many lines as it needs; the first from the left."""
        top = bottom = self.get_y()
        x = self.l_margin
        for place, (text, width) in enumerate(zip(cells, _WIDTHS, strict=True)):
            inner = width - (indent if place == 0 else 2)
            self.set_y(top)
            with self._fitting(text if place else "", inner):
                self._put(inner, text, Align.R if place else Align.L, x + width - inner)
            bottom = max(bottom, self.get_y())
            x += width
        self.set_y(bottom)

    def _tallest(self, cells: Sequence[str], indent: float = 0) -> float:
        return max(
            self._height(text, width - (2 if place else indent))
            for place, (text, width) in enumerate(zip(cells, _WIDTHS, strict=True))
        )

    def _height(self, text: str, width: float) -> float:
        if not text:
            return 0
        with self._shaping(text) as shown:
            found = self.multi_cell(width, self._leading, shown, dry_run=True, output=MethodReturnValue.LINES)
        return self._leading * len(cast(list[str], found))

    def _put(self, width: float, text: str, align: Align = Align.L, x: float | None = None) -> None:
        """A text in as many lines as it needs, and the place below it."""
        if not text:
            return
        self.set_x(self.l_margin if x is None else x)
        with self._shaping(text) as shown:
            self.multi_cell(width, self._leading, shown, align=align, new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    @contextmanager
    def _fitting(self, text: str, width: float) -> Iterator[None]:
        """Smaller type where a number would not fit: it must not be broken."""
        size = self.font_size_pt
        widest = max((self.get_string_width(word) for word in text.split() if word[-1:].isdigit()), default=0)
        if widest > width:
            self.set_font_size(size * width / widest * 0.98)
        yield
        self.set_font_size(size)

    def _one_line(self, text: str, width: float) -> str:
        """Cut where it does not fit."""
        text = self._shown(text)
        if self.get_string_width(text) <= width:
            return text
        kept = text
        while kept and self.get_string_width(f"{kept}…") > width:
            kept = kept[: -max(1, len(kept) // 10)]
        return f"{kept.rstrip()}…"

    def _shown(self, text: str) -> str:
        return "".join(each if ord(each) in self._known else _UNKNOWN for each in text)

    @contextmanager
    def _shaping(self, text: str) -> Iterator[str]:
        """A text with characters that there are glyphs for; Arabic and Hebrew are joined and ordered."""
        shown = self._shown(text)
        if not any(unicodedata.bidirectional(each) in _RIGHT_TO_LEFT for each in shown):
            yield shown
            return
        self.set_text_shaping(True)
        try:
            yield shown
        finally:
            self.set_text_shaping(False)

    def _room(self, height: float) -> None:
        """A new page, if so much does not fit on this one."""
        if self.will_page_break(height):
            self.add_page()

    def _rule(self, grey: int, width: float) -> None:
        self.set_draw_color(grey)
        self.set_line_width(width)
        self.line(self.l_margin, self.get_y(), self.w - self.r_margin, self.get_y())

    def _type(self, size: float, style: str = "", grey: int = _INK) -> None:
        self.set_font(_FAMILY, style, size)
        self.set_text_color(grey)

    @property
    def _leading(self) -> float:
        return float(self.font_size * 1.35)


def _of_part(part: Part) -> tuple[str, str, str, str, str]:
    return (part.name, part.quantity, "", part.rate, part.amount)
