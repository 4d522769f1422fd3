"""Texts that callers hand back as they got them: ids made of several parts, and cursors. Pure."""

from __future__ import annotations

import base64
import binascii


def opaque(text: str) -> str:
    """Any text as one that stands in a path or a query as it is."""
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def plain(text: str) -> str | None:
    """The text that ``opaque`` was given; None where it gives no such text."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        return None
