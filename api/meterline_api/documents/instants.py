"""Instants as the documents write them. Pure."""

from __future__ import annotations

from datetime import UTC, datetime


def iso_seconds(at: datetime) -> str:
    """As JavaScript's ``toISOString`` writes it: in UTC, with milliseconds."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def unix_seconds(at: datetime) -> int:
    return int(at.timestamp())
