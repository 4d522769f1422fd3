"""Decimals as JSON numbers. Pure."""

from __future__ import annotations

from decimal import Decimal

import msgspec


def number(value: Decimal | str) -> msgspec.Raw:
    """A plain decimal as a JSON number, every digit written out: it never passes through a float."""
    text = format(value, "f") if isinstance(value, Decimal) else value
    return msgspec.Raw(text.encode())
