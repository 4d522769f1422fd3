"""Settings of documents: ``METERLINE_BILLING_SELLER_*``, ``METERLINE_BILLING_NOTE`` and ``METERLINE_BILLING_FONT``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from meterline_api.billing.rendering.sheet import Seller
from meterline_schemas.settings import PREFIX

_FONTS = (".ttf", ".otf", ".ttc", ".otc")
_Line = Annotated[str, Field(max_length=200)]
_Lines = Annotated[str, Field(max_length=1000, description="lines, with a semicolon or an end of line between two")]


class DocumentSettings(BaseSettings):
    """Who an invoice is from, and what stands below it. Empty: nothing is said."""

    model_config = SettingsConfigDict(env_prefix=PREFIX + "BILLING_", extra="ignore", frozen=True)

    seller_name: _Line = ""
    seller_address: _Lines = ""
    seller_tax_id: Annotated[_Line, Field(description="as it is to stand there, such as VAT ATU12345678")] = ""
    seller_email: _Line = ""
    note: Annotated[_Lines, Field(description="below every invoice, such as how to pay it")] = ""
    font: Annotated[
        Path | None, Field(description="TrueType or OpenType, for what DejaVu Sans lacks in PDFs, such as Chinese")
    ] = None

    @field_validator("font")
    @classmethod
    def _is_font(cls, font: Path | None) -> Path | None:
        if font is not None and (font.suffix.lower() not in _FONTS or not font.is_file()):
            raise ValueError(f"{font} is no file that ends in {', '.join(_FONTS)}")
        return font

    @property
    def seller(self) -> Seller:
        return Seller(
            self.seller_name, _split(self.seller_address), self.seller_tax_id, self.seller_email, _split(self.note)
        )


def _split(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.replace(";", "\n").splitlines() if line.strip())
