"""Amounts, quantities and days as an invoice says them, in English, whatever the locale. Pure."""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Final
from zoneinfo import ZoneInfo

from meterline_schemas.currencies import minor_digits
from meterline_schemas.periods import Calendar, Period

_SIGNS: Final = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "INR": "₹", "KRW": "₩", "UAH": "₴", "NGN": "₦"}
_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_FINEST: Final = 9
# they turn the direction of what follows, so that a name could show an amount backwards
_TURNS: Final = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_EVERY_DIGIT: Final = 1000


def exact(value: Decimal, least: int = 0) -> str:
    """Every digit and no exponent; no needless zeros, but ``least`` decimals."""
    whole, _, decimals = format(value if value else Decimal(0), "f").partition(".")
    kept = decimals.rstrip("0").ljust(least, "0")
    return f"{whole}.{kept}" if kept else whole


def amount(value: Decimal, currency: str) -> str:
    """Exact, with the decimals of its currency: ``45.00``."""
    return exact(value, minor_digits(currency))


def grouped(value: Decimal, least: int = 0) -> str:
    """For people: ``-1,234.50``. What is finer than nine decimals is rounded."""
    with localcontext() as context:
        context.prec = _EVERY_DIGIT
        context.rounding = ROUND_HALF_EVEN
        shown = round(value, max(_FINEST, least))
    whole, point, decimals = exact(abs(shown), least).partition(".")
    return f"{'-' if shown < 0 else ''}{int(whole):,}{point}{decimals}"


def money(value: Decimal, currency: str) -> str:
    """``$1,234.50 USD``: the sign alone is that of several currencies."""
    text = grouped(abs(value), minor_digits(currency))
    return f"{'-' if value < 0 else ''}{_SIGNS.get(currency, '')}{text} {currency}"


def counted(value: Decimal, unit: str) -> str:
    """``45 GB``."""
    return f"{grouped(value)} {said(unit)}".rstrip()


def day(moment: datetime, zone: str) -> str:
    """``31 January 2025``."""
    local = moment.astimezone(ZoneInfo(zone))
    return f"{local.day} {_MONTHS[local.month - 1]} {local.year}"


def month(start: datetime, end: datetime, zone: str) -> str:
    """``January 2025`` where ``[start, end)`` is a whole month of the zone; else empty."""
    if Calendar(Period.MONTHLY, zone).bounds(start) != (start, end):
        return ""
    local = start.astimezone(ZoneInfo(zone))
    return f"{_MONTHS[local.month - 1]} {local.year}"


def stretch(start: datetime, end: datetime, zone: str) -> str:
    """``[start, end)`` by its first and last day; with the times where it is not of whole days of the zone."""
    if _is_midnight(start, zone) and _is_midnight(end, zone) and start < end:
        first, last = day(start, zone), day(end - timedelta(microseconds=1), zone)
        return first if first == last else f"{first} – {last}"
    return f"{minute(start, zone)} – {minute(end, zone)}"


def minute(moment: datetime, zone: str) -> str:
    """``31 January 2025 07:30``, with the seconds where there are any."""
    local = moment.astimezone(ZoneInfo(zone))
    seconds = f":{local.second:02}" if local.second or local.microsecond else ""
    return f"{day(moment, zone)} {local.hour:02}:{local.minute:02}{seconds}"


def said(text: str) -> str:
    """A text of somebody's in one line of ours: nothing in it breaks a line or turns the direction of the rest."""
    plain = _TURNS.sub("", text)
    return " ".join("".join(map(_printable, plain)).split())


def _printable(character: str) -> str:
    match unicodedata.category(character):
        case "Cc" | "Zl" | "Zp":
            return " "
        case "Cs":  # half of a pair
            return "\ufffd"
        case _:
            return character


def _is_midnight(moment: datetime, zone: str) -> bool:
    """Whether a day of the zone begins: where clocks leap over midnight, at the leap."""
    before = (moment - timedelta(microseconds=1)).astimezone(ZoneInfo(zone))
    return before.date() < moment.astimezone(ZoneInfo(zone)).date()
