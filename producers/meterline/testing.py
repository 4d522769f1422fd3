"""For the tests of apps: a producer that keeps what was tracked, and says what it was.

It takes and refuses what the real one does, and refuses what Meterline would reject later. With pytest, the fixture
``meterline_producer`` is one that ``default_producer()`` returns during the test.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from meterline.buffer import Stats
from meterline.encoding import Quantity, check_size, line_of, line_of_event, name_text, quantity_text, time_text
from meterline.errors import InvalidUsageError
from meterline.marks import marks
from meterline.producing import Producing
from meterline_schemas.event import UsageEvent
from meterline_schemas.quantity import exact_nano, format_nano
from meterline_schemas.reading import InvalidLine, decode_line, read_properties, read_quantity, utc_milliseconds

_ANY: Final[Any] = object()


@dataclass(frozen=True)
class TrackedEvent:
    """An event as Meterline would get it: ``timestamp`` in UTC cut to milliseconds, ``properties`` as JSON has them."""

    tenant_id: str
    metric: str
    quantity: Decimal
    timestamp: datetime
    id: str
    subject: str | None
    source: str | None
    properties: Mapping[str, Any]

    def __str__(self) -> str:
        subject = f" subject={self.subject!r}" if self.subject is not None else ""
        properties = f" properties={dict(self.properties)!r}" if self.properties else ""
        return f"{self.tenant_id!r} {self.metric!r} {self.quantity}{subject}{properties} id={self.id!r}"


class InMemoryProducer(Producing):
    """A ``UsageProducer`` that sends nothing: ``events`` has what was tracked, in order. Any thread may use it."""

    def __init__(self, *, source: str | None = None) -> None:
        if source is not None:
            name_text("source", source)
        self._source = source
        self._lock = threading.Lock()
        self._dropped = 0
        self._closed = False
        self.events: list[TrackedEvent] = []

    def track(
        self,
        tenant_id: str,
        metric: str,
        quantity: Quantity = 1,
        *,
        subject: str | None = None,
        properties: Mapping[str, Any] | None = None,
        timestamp: datetime | None = None,
        id: str | None = None,
    ) -> str:
        """As ``UsageProducer.track``.

        Raises:
            InvalidUsageError: a value that can never count; also a ValueError.
            TypeError: a value of the wrong type, such as a float quantity.
        """
        made, now = marks()
        when = now if timestamp is None else time_text(timestamp)
        name = made if id is None else name_text("id", id)
        line = line_of(name, tenant_id, metric, quantity, when, subject, self._source, properties)
        check_size(line)
        try:
            self._keep(line)
        except InvalidLine as error:
            raise InvalidUsageError(f"Meterline would reject it: {error}") from None
        return made if id is None else id

    def track_event(self, event: UsageEvent) -> str:
        """As ``UsageProducer.track_event``.

        Raises:
            InvalidLine: with the reason and detail that the stream would reject it with.
        """
        self._keep(line_of_event(event))
        return event.id

    def _keep(self, line: str) -> None:
        event = decode_line(line.encode())
        kept = TrackedEvent(
            event.tenant_id,
            event.metric,
            Decimal(read_quantity(bytes(event.quantity))[1]),
            utc_milliseconds(event.timestamp),
            event.id,
            event.subject,
            event.source,
            _properties(bytes(event.properties)),
        )
        with self._lock:
            if self._closed:
                self._dropped += 1
            else:
                self.events.append(kept)

    def stats(self) -> Stats:
        """As if all was acknowledged at once; what is tracked after ``close`` is dropped."""
        with self._lock:
            kept = len(self.events)
            return Stats(tracked=kept + self._dropped, acknowledged=kept, dropped=self._dropped)

    def flush(self, timeout: float = 10.0) -> int:
        """Nothing waits: 0."""
        return 0

    def close(self, timeout: float = 10.0) -> int:
        """What is tracked later is dropped, as it is by the real one. ``events`` stay."""
        self._closed = True
        return 0

    def clear(self) -> None:
        """Forget what was tracked."""
        with self._lock:
            self.events.clear()

    def total(self, tenant_id: str, metric: str, *, subject: str | None = _ANY) -> Decimal:
        """The exact sum of what counts: an id that was tracked more than once counts once."""
        found = {event.id: event for event in reversed(self._found(tenant_id, metric, subject=subject))}
        return Decimal(format_nano(sum(exact_nano(f"{event.quantity:f}") for event in found.values())))

    def assert_tracked(
        self,
        tenant_id: str,
        metric: str,
        quantity: Quantity | None = None,
        *,
        times: int | None = None,
        subject: str | None = _ANY,
        properties: Mapping[str, Any] | None = None,
        id: str | None = None,
    ) -> list[TrackedEvent]:
        """The events of a tenant and metric with this ``quantity`` each, ``subject`` and ``id``, as far as given.

        ``properties`` are those that an event must have, beside which it may have others.

        Raises:
            AssertionError: there is none, or with ``times`` there are not just as many; it says what was tracked.
        """
        __tracebackhide__ = True
        found = self._found(tenant_id, metric, quantity, subject, properties, id)
        if len(found) == times or (found and times is None):
            return found
        given = {"quantity": quantity, "properties": properties, "id": id}
        wanted = "".join(f" {name}={value!r}" for name, value in given.items() if value is not None)
        wanted += "" if subject is _ANY else f" subject={subject!r}"
        raise AssertionError(
            f"{tenant_id!r} {metric!r}{wanted} was tracked {len(found)} times, not {times or 'once or more'}"
            f"{_these(list(self.events))}"
        )

    def assert_not_tracked(self, tenant_id: str | None = None, metric: str | None = None) -> None:
        """Nothing was tracked: at all, for the tenant, of the metric, or of both.

        Raises:
            AssertionError: something was; it says what.
        """
        __tracebackhide__ = True
        found = [
            event
            for event in list(self.events)
            if tenant_id in (None, event.tenant_id) and metric in (None, event.metric)
        ]
        if found:
            raise AssertionError(f"{len(found)} events were tracked that should not be{_these(found)}")

    def _found(
        self,
        tenant_id: str,
        metric: str,
        quantity: Quantity | None = None,
        subject: str | None = _ANY,
        properties: Mapping[str, Any] | None = None,
        id: str | None = None,
    ) -> list[TrackedEvent]:
        exact = None if quantity is None else Decimal(quantity_text(quantity))
        parts = _properties(msgspec.json.encode(dict(properties or {}))).items()
        return [
            event
            for event in list(self.events)
            if (event.tenant_id, event.metric) == (tenant_id, metric)
            and exact in (None, event.quantity)
            and (subject is _ANY or subject == event.subject)
            and id in (None, event.id)
            and parts <= event.properties.items()
        ]


def _properties(raw: bytes) -> dict[str, Any]:
    read_properties(raw)  # for what it raises
    found: dict[str, Any] = msgspec.json.decode(raw) if raw and raw != b"null" else {}
    return found


def _these(events: list[TrackedEvent], most: int = 20) -> str:
    if not events:
        return "; nothing was tracked"
    more = f"\n  … and {len(events) - most} more" if len(events) > most else ""
    return f"; tracked were {len(events)}:" + "".join(f"\n  {event}" for event in events[:most]) + more
