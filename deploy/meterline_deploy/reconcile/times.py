"""The instants that ``--from`` and ``--to`` mean. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from meterline_schemas.errors import ConfigurationError

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def parse_instant(text: str, option: str) -> datetime:
    """A day, at 00:00 UTC, or an instant in RFC 3339 with its offset.

    Raises:
        ConfigurationError: neither.
    """
    try:
        if _DAY.fullmatch(text):
            return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ConfigurationError(f"{option} {text!r} has no time zone: write it like {text}Z")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ConfigurationError(
            f"{option} {text!r} is no time: write a day like 2026-11-01 or an instant like 2026-11-01T00:00:00Z"
        ) from None


@dataclass(frozen=True)
class Period:
    """From ``start`` to before ``end``, either of them open."""

    start: datetime | None = None
    end: datetime | None = None

    @classmethod
    def parse(cls, start: str | None, end: str | None) -> Period:
        """Raises ``ConfigurationError`` where one is no time, or the end is not after the start."""
        period = cls(
            parse_instant(start, "--from") if start else None,
            parse_instant(end, "--to") if end else None,
        )
        if period.start and period.end and period.start >= period.end:
            raise ConfigurationError(f"--to {end} must be after --from {start}")
        return period

    def whole_hours(self) -> Period:
        """Widened to whole hours."""
        start, end = self.start, self.end
        if start:
            start = start.replace(minute=0, second=0, microsecond=0)
        if end and (end.minute or end.second or end.microsecond):
            end = end.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        return Period(start, end)

    def __str__(self) -> str:
        if not (self.start or self.end):
            return "all time"
        start, end = (moment.isoformat().replace("+00:00", "Z") if moment else "…" for moment in (self.start, self.end))
        return f"{start} to {end}"


ALL_TIME: Final = Period()
