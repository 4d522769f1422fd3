"""Many events in one call, each with its own outcome."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from meterline.errors import BufferFullError, InvalidUsageError

_FIELDS: Final = frozenset(
    ("tenant_id", "metric", "quantity", "subject", "properties", "timestamp", "id"),
)


@dataclass(frozen=True)
class Outcome:
    """What became of one event: its ``id`` if it was taken, else the ``problem``."""

    id: str | None
    problem: str | None = None

    @property
    def ok(self) -> bool:
        return self.problem is None


def track_many(
    track: Callable[..., str], events: Iterable[Mapping[str, Any]], tenant_id: str | None, metric: str | None
) -> list[Outcome]:
    """Each event by ``track``; ``tenant_id`` and ``metric`` are for those without their own."""
    common = {name: value for name, value in (("tenant_id", tenant_id), ("metric", metric)) if value is not None}
    return [_outcome(track, common, event) for event in events]


def _outcome(track: Callable[..., str], common: Mapping[str, Any], event: Mapping[str, Any]) -> Outcome:
    if not isinstance(event, Mapping):
        return Outcome(None, f"an event is a mapping of the arguments of track(), not {type(event).__name__}")
    fields = {**common, **event}
    if unknown := sorted(str(name) for name in fields.keys() - _FIELDS):
        return Outcome(None, f"unknown field {unknown[0]!r}; there are {', '.join(sorted(_FIELDS))}")
    if missing := [name for name in ("tenant_id", "metric") if name not in fields]:
        return Outcome(None, f"{missing[0]} is missing")
    try:
        return Outcome(track(**fields))
    except (InvalidUsageError, BufferFullError, TypeError) as problem:
        return Outcome(None, str(problem))
