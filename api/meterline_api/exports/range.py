"""``Range`` of an export (RFC 9110, 14): from a byte to the end, which is what resuming asks for. Pure."""

from __future__ import annotations

import re
from typing import Final

_OPEN: Final = re.compile(r"\s*bytes\s*=\s*(\d{1,19})\s*-\s*", re.IGNORECASE)


def first_byte(text: str | None) -> int | None:
    """The byte to go on at; None where the whole file is the answer, as to any range that is of another kind."""
    found = _OPEN.fullmatch(text or "")
    return int(found[1]) if found else None
