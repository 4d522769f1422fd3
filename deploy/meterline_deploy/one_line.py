"""Texts of somebody's on a terminal."""

from __future__ import annotations


def one_line(text: object) -> str:
    """One line without control characters: ids and words are whatever was sent."""
    return "".join(sign if sign.isprintable() else " " for sign in str(text))
