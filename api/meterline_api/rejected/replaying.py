"""Rejected lines sent again, to be judged anew: by the rules of `meterline replay`.

A line is sent as it came, and so with its id and timestamp: however often it is replayed, its event counts once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple, Protocol, TypeVar
from urllib.parse import quote

from meterline.records import Line
from meterline_api.rejected.models import RejectedAnswer
from meterline_api.rejected.places import LAST_MS, LIMITS, Place, read_numbers, write_numbers
from meterline_api.rejected.statements import Asked, at_places, distinct_lines, read
from meterline_schemas.catalog import Metric
from meterline_schemas.reject import KEPT_BYTES
from meterline_schemas.replaying import REFUSED, EventKey, Skipped, weigh

_EXAMPLES: Final = 10
_PAGE: Final = 64  # lines that are read at once: parameters of a query have a limit
_BYTES: Final = 3000  # of the keys that are asked for at once, for the same reason
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_COUNTED: Final = """
SELECT DISTINCT tenant_id, metric, toUnixTimestamp64Milli(timestamp), id FROM usage_events_raw
WHERE (tenant_id, metric, timestamp, id) IN (
    SELECT k.1, k.2, fromUnixTimestamp64Milli(k.3, 'UTC'), k.4 FROM (
        SELECT arrayJoin(arrayZip(
            {tenants:Array(String)}, {metrics:Array(String)}, {times:Array(Int64)}, {ids:Array(String)}
        )) AS k
    )
)
"""
_Key = tuple[str, str, int, str]
_Item = TypeVar("_Item")


class Tables(Protocol):
    async def rows(
        self, sql: str, parameters: Mapping[str, Any], settings: Mapping[str, str | int] | None = None
    ) -> Sequence[Sequence[Any]]: ...


class Way(Protocol):
    """The way to ``usage.events``."""

    async def send(self, lines: Sequence[Line]) -> list[bool]: ...


class CursorError(ValueError):
    """The cursor is none that an answer gave."""


class Cursor(NamedTuple):
    """Where a replay goes on: behind ``after``, up to what was received before ``until`` (milliseconds).

    ``until`` is when it began: what is rejected again meanwhile is no part of it.
    """

    until: int
    after: Place

    def write(self) -> str:
        return write_numbers((self.until, *self.after))

    @classmethod
    def read(cls, text: str) -> Cursor:
        """Raises ``CursorError``."""
        numbers = read_numbers(text, 5)
        place = None if numbers is None else Place(*numbers[1:])
        if numbers is None or place is None or not place.holds or numbers[0] > LAST_MS:
            raise CursorError("cursor is none that this server gave; start again without one")
        return cls(numbers[0], place)

    @property
    def end(self) -> datetime:
        return _EPOCH + timedelta(milliseconds=self.until)


@dataclass
class Outcome:
    """``matched`` distinct lines, of which ``chosen`` are to be sent and ``replayed`` were acknowledged."""

    matched: int = 0
    chosen: int = 0
    replayed: int = 0
    skipped: Counter[tuple[str, str]] = field(default_factory=Counter)  # (code, for people)
    undefined: set[str] = field(default_factory=set)
    undefined_tenants: set[str] = field(default_factory=set)
    not_found: int = 0
    following: Cursor | None = None

    def skip(self, why: Skipped, found: RejectedAnswer) -> None:
        self.skipped[why.name.lower(), str(why)] += 1
        if why is Skipped.STILL_UNKNOWN and len(self.undefined) < _EXAMPLES:
            self.undefined.add(found.metric)
        elif why is Skipped.TENANT_STILL_UNKNOWN and len(self.undefined_tenants) < _EXAMPLES:
            self.undefined_tenants.add(found.tenant_id)


class Replay:
    """One replay. ``way`` is None for a dry run, and ``tenants`` where the events of all of them count.

    Raises:
        UnavailableError: ClickHouse or Kafka does not answer, in both methods; ``outcome`` says what was done before.
    """

    def __init__(
        self, tables: Tables, metrics: Mapping[str, Metric], way: Way | None, tenants: Set[str] | None = None
    ) -> None:
        self._tables = tables
        self._metrics = metrics
        self._tenants = tenants
        self._way = way
        self.outcome = Outcome()

    async def all(self, asked: Asked, limit: int, cursor: Cursor) -> None:
        """The first ``limit`` distinct lines behind the cursor."""
        after = cursor.after if any(cursor.after) else None
        rows = await self._tables.rows(*distinct_lines(asked, limit, after), LIMITS)
        places = [Place(*row) for row in rows[:limit]]
        for page in _pages(places):
            await self._send(await self._lines(asked, page))
        if len(rows) > limit:
            self.outcome.following = Cursor(cursor.until, places[-1])

    async def named(self, asked: Asked, places: Sequence[tuple[int, int, int]]) -> None:
        """The lines at these partitions, offsets and lines."""
        known = set[str]()
        for page in _pages(sorted(set(places))):
            found = await self._lines(asked, [Place(0, *place) for place in page])
            self.outcome.not_found += len(page) - len(found)
            new = list({each.raw_sha256: each for each in found if each.raw_sha256 not in known}.values())
            known |= {each.raw_sha256 for each in new}
            await self._send(new)

    async def _lines(self, asked: Asked, places: Sequence[Place]) -> list[RejectedAnswer]:
        return [read(row) for row in await self._tables.rows(*at_places(asked, [at[1:] for at in places]), LIMITS)]

    async def _send(self, found: Sequence[RejectedAnswer]) -> None:
        self.outcome.matched += len(found)
        lines = [line async for line in self._choose(found)] if found else []
        self.outcome.chosen += len(lines)
        if self._way is not None and lines:
            self.outcome.replayed += sum(await self._way.send(lines))

    async def _choose(self, found: Sequence[RejectedAnswer]) -> AsyncIterator[Line]:
        events: list[tuple[EventKey, RejectedAnswer]] = []
        for each in found:
            verdict = self._weigh(each)
            if isinstance(verdict, EventKey):
                events.append((verdict, each))
        there = await self._counted([key for key, _each in events if key.may_be_counted])
        for key, each in events:
            if _key(key) in there:
                self.outcome.skip(Skipped.COUNTED, each)
            else:
                # an event over several lines is one only in a record of its own; in JSON a line break is a blank
                text = each.raw.replace("\n", " ")
                yield key.tenant_id, text, len(text.encode())

    def _weigh(self, found: RejectedAnswer) -> EventKey | None:
        """The event of a line, or None where it is skipped."""
        if found.reason in REFUSED:
            self.outcome.skipped[found.reason.value, REFUSED[found.reason]] += 1
            return None
        verdict: EventKey | Skipped
        if found.raw_bytes > KEPT_BYTES:
            verdict = Skipped.TOO_LONG
        elif found.raw_encoding != "utf-8":
            verdict = Skipped.NO_EVENT
        else:
            verdict = weigh(found.raw.encode(), self._metrics, self._tenants)
        if isinstance(verdict, Skipped):
            self.outcome.skip(verdict, found)
            return None
        return verdict

    async def _counted(self, keys: Sequence[EventKey]) -> set[_Key]:
        """Those that are in ClickHouse as events that count."""
        found = set[_Key]()
        for part in _portions([_key(key) for key in keys]):
            tenants, metrics, times, ids = (list(column) for column in zip(*part, strict=True))
            parameters = {"tenants": tenants, "metrics": metrics, "times": times, "ids": ids}
            rows = await self._tables.rows(_COUNTED, parameters, LIMITS)
            found |= {(str(tenant), str(metric), int(at), str(id)) for tenant, metric, at, id in rows}
        return found


def _key(key: EventKey) -> _Key:
    return key.tenant_id, key.metric, (key.timestamp - _EPOCH) // timedelta(milliseconds=1), key.id


def _pages(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    for start in range(0, len(items), _PAGE):
        yield items[start : start + _PAGE]


def _portions(keys: Sequence[_Key]) -> Iterator[list[_Key]]:
    part: list[_Key] = []
    size = 0
    for key in keys:
        cost = len(quote(f"'{key[0]}', '{key[1]}', {key[2]}, '{key[3]}', "))
        if part and size + cost > _BYTES:
            yield part
            part, size = [], 0
        part.append(key)
        size += cost
    if part:
        yield part
