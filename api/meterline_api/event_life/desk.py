"""Where the life of an event is asked for: the tables of events and rejects, the totals, and Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Literal, Protocol

from meterline_api.event_life.life import Known, PartOf, lives
from meterline_api.event_life.models import EventLife, EventLives, TotalOfEvent
from meterline_api.event_life.statements import (
    FRESHNESS,
    MOST_EVENTS,
    MOST_REJECTS,
    Asked,
    EventRow,
    Place,
    RejectRow,
    alerts,
    read_alert,
)
from meterline_api.rejected.places import LIMITS, instant_of

_PATIENCE: Final = 1.0  # seconds; what was just acknowledged is judged and written by then


class Tables(Protocol):
    async def rows(
        self, sql: str, parameters: Mapping[str, Any], settings: Mapping[str, str | int] | None = None
    ) -> Sequence[Sequence[Any]]: ...


class Watch(Protocol):
    def passed_on(self, seconds: float) -> bool: ...


class Sources(Protocol):
    def find(self, places: list[Place]) -> Mapping[Place, Place | None]: ...


Window = Literal["hour", "day", "month"]
Total = Callable[[str, str, Window, datetime, datetime], Awaitable[TotalOfEvent | None]]
"""The number of a tenant and metric over a window, and how it is shown; None: there is none."""


class Desk:
    """Asks everything about one id."""

    def __init__(self, tables: Tables, watch: Watch, origins: Sources) -> None:
        self._tables = tables
        self._watch = watch
        self._origins = origins
        self._looking = asyncio.Lock()

    async def find(self, asked: Asked, total: Total) -> EventLives | None:
        """The events with this id; None: ClickHouse has none.

        Raises:
            UnavailableError: ClickHouse does not answer.
        """
        counted, refused = await asyncio.gather(
            self._tables.rows(*asked.events(), LIMITS), self._tables.rows(*asked.rejects(), LIMITS)
        )
        events, rejects = [EventRow(*row) for row in counted], [RejectRow(*row) for row in refused]
        if not events and not rejects:
            return None
        more = len(events) > MOST_EVENTS or len(rejects) > MOST_REJECTS
        events, rejects = events[:MOST_EVENTS], rejects[:MOST_REJECTS]
        places = [event.place for event in events] + [reject.place for reject in rejects]
        origins, offsets = await asyncio.gather(
            asyncio.to_thread(self._origins.find, places), self._tables.rows(FRESHNESS, {}, LIMITS)
        )
        complete = {int(number): int(offset) for number, offset in offsets}
        parts = [(event, await self._part_of(event, total)) for event in events]
        found: list[EventLife] = lives(asked.id, parts, rejects, Known(complete, origins))
        return EventLives(data=found, more=more)

    async def passed_on(self) -> bool | None:
        """Whether ClickHouse has all that was acknowledged before this was called; None: somebody else asks that now.

        Raises:
            UnavailableError: Kafka does not answer.
        """
        if self._looking.locked():  # it costs threads: one at a time
            return None
        async with self._looking:
            return await asyncio.to_thread(self._watch.passed_on, _PATIENCE)

    async def _part_of(self, event: EventRow, total: Total) -> PartOf:
        told, *found = await asyncio.gather(
            self._tables.rows(*alerts(event), LIMITS),
            *(
                total(event.tenant_id, event.metric, window, *bounds)
                for window, bounds in windows(instant_of(event.timestamp)).items()
            ),
        )
        return PartOf([each for each in found if each is not None], [read_alert(row) for row in told])


def windows(instant: datetime) -> dict[Window, tuple[datetime, datetime]]:
    """The UTC hour, day and month that an instant lies in."""
    hour = instant.replace(minute=0, second=0, microsecond=0)
    day = hour.replace(hour=0)
    month = day.replace(day=1)
    following = (month + timedelta(days=32)).replace(day=1)
    return {
        "hour": (hour, hour + timedelta(hours=1)),
        "day": (day, day + timedelta(days=1)),
        "month": (month, following),
    }
