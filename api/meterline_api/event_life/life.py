"""Rows about one id as the lives of events. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from meterline_api.event_life.models import (
    AlertOfEvent,
    Appearance,
    CountedEvent,
    EventLife,
    LineOfTopic,
    TotalOfEvent,
)
from meterline_api.event_life.statements import EventRow, Place, RejectRow, short
from meterline_api.rejected.places import instant_of
from meterline_schemas.reject import Reason
from meterline_schemas.topics import EVENTS

_BILLING: Final = "invoice_line and stripe_push are null: this version makes no invoices and pushes nothing to Stripe"
_ALERTS: Final = (
    "alerts are those told of this tenant and metric after the event was received, in a period that it lies in: it may "
    "have contributed to them; which events made a step be reached is not kept"
)
_INCOMPLETE: Final = (
    "not everything up to its last copy is in ClickHouse yet: totals may still change, ask again in a second"
)
ORIGINS_UNKNOWN: Final = (
    "whether copies came by way of another partition is not known: Kafka did not say so in time, or keeps the records "
    "no longer"
)


@dataclass(frozen=True)
class PartOf:
    """What an event that counts is part of."""

    totals: list[TotalOfEvent]
    alerts: list[AlertOfEvent]


@dataclass(frozen=True)
class Known:
    """What is known besides the rows: up to which offset each partition is complete, and where copies came from."""

    complete_to: Mapping[int, int]
    origins: Mapping[Place, Place | None]  # None: it was read there first; not in it: not known

    def complete(self, place: Place) -> bool:
        return self.complete_to.get(place.partition, 0) > place.offset


def lives(
    id: str, events: Sequence[tuple[EventRow, PartOf]], rejects: Sequence[RejectRow], known: Known
) -> list[EventLife]:
    """One for each tenant, in the order of their ids."""
    tenants = sorted({event.tenant_id for event, _part in events} | {reject.tenant_id for reject in rejects})
    return [
        _life(
            tenant_id,
            id,
            [(event, part) for event, part in events if event.tenant_id == tenant_id],
            [reject for reject in rejects if reject.tenant_id == tenant_id],
            known,
        )
        for tenant_id in tenants
    ]


def _life(
    tenant_id: str, id: str, events: Sequence[tuple[EventRow, PartOf]], rejects: Sequence[RejectRow], known: Known
) -> EventLife:
    copies = [(event.received, event.place, _accepted(event, known)) for event, _part in events]
    copies += [(reject.received, reject.place, _rejected(reject, known)) for reject in rejects]
    copies.sort(key=lambda copy: copy[:2])
    appearances = [appearance for _received, _place, appearance in copies]
    verdict: Literal["accepted", "late", "rejected"] = "rejected"
    if events:
        verdict = "late" if all(event.late for event, _part in events) else "accepted"
    notes = [_BILLING] if events else []
    if any(part.alerts for _event, part in events):
        notes.append(_ALERTS)
    if not all(appearance.complete for appearance in appearances):
        notes.append(_INCOMPLETE)
    if any(place not in known.origins for _received, place, _appearance in copies):
        notes.append(ORIGINS_UNKNOWN)
    return EventLife(
        tenant_id=tenant_id,
        id=id,
        verdict=verdict,
        reason=None if events else appearances[-1].reason,
        detail=None if events else appearances[-1].detail,
        events=[_counted(event, part) for event, part in events],
        appearances=appearances,
        notes=notes,
    )


def _counted(event: EventRow, part: PartOf) -> CountedEvent:
    return CountedEvent(
        metric=event.metric,
        timestamp=instant_of(event.timestamp),
        quantity=short(event.quantity) or "0",
        subject=event.subject,
        source=event.source,
        properties=dict(event.properties),
        late=bool(event.late),
        added="afterwards" if event.late else "by_the_stream",
        totals=part.totals,
        alerts=part.alerts,
    )


def _accepted(event: EventRow, known: Known) -> Appearance:
    return Appearance(
        topic=EVENTS,
        partition=event.partition,
        offset=event.offset,
        line=event.line,
        received_at=instant_of(event.received),
        verdict="late" if event.late else "accepted",
        complete=known.complete(event.place),
        forwarded_from=_origin(event.place, known),
    )


def _rejected(reject: RejectRow, known: Known) -> Appearance:
    return Appearance(
        topic=EVENTS,
        partition=reject.partition,
        offset=reject.offset,
        line=reject.line,
        received_at=instant_of(reject.received),
        verdict="rejected",
        reason=Reason(reject.reason),
        detail=reject.detail,
        complete=known.complete(reject.place),
        forwarded_from=_origin(reject.place, known),
        raw=reject.raw,
        raw_encoding="base64" if reject.raw_encoding == "base64" else "utf-8",
        raw_bytes=reject.raw_bytes,
        raw_sha256=reject.raw_sha256,
    )


def _origin(place: Place, known: Known) -> LineOfTopic | None:
    origin = known.origins.get(place)
    return None if origin is None else LineOfTopic(topic=EVENTS, **origin._asdict())
