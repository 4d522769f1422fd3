"""What goes over HTTP about the life of an event. Decimals are text."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, BaseModel, Field

from meterline_schemas.catalog import Aggregation
from meterline_schemas.reject import Reason


class LineOfTopic(BaseModel):
    """A line of `usage.events`."""

    topic: str
    partition: int
    offset: int = Field(description="Of its record in the partition.")
    line: int = Field(description="Which line of the record, blank ones not counted, from 0.")


class Appearance(LineOfTopic):
    """One copy of the event, as it was read, and what was judged of it."""

    received_at: AwareDatetime = Field(description="When the broker took it.")
    verdict: Literal["accepted", "late", "rejected"] = Field(
        description="late: it counts, and came after the hours that the stream keeps open: usage has it all the same."
    )
    reason: Reason | None = Field(
        default=None, description="Of a rejected one; duplicate: a copy before it counts already."
    )
    detail: str | None = Field(default=None, description="The same for people.")
    complete: bool = Field(description="Everything judged up to this record is in ClickHouse: what is shown is whole.")
    forwarded_from: LineOfTopic | None = Field(
        default=None,
        description="Where it was read first, on another partition than that of its tenant, where that is known.",
    )
    raw: str | None = Field(
        default=None,
        description="Of a rejected one, the first 64 KB of the line as it came, but for denied properties.",
    )
    raw_encoding: Literal["utf-8", "base64"] | None = None
    raw_bytes: int | None = Field(default=None, description="Length of the whole line.")
    raw_sha256: str | None = None


class TotalOfEvent(BaseModel):
    """A number that the event is part of, as usage is answered now."""

    window: Literal["hour", "day", "month"]
    start: AwareDatetime = Field(serialization_alias="from")
    end: AwareDatetime = Field(serialization_alias="to")
    aggregation: Aggregation
    unit: str
    value: str = Field(description="The metric's number over the window, of the tenant: an exact decimal.")
    count: int = Field(description="Events in it.")


class AlertOfEvent(BaseModel):
    """A notification that the event may have contributed to."""

    id: str
    type: str
    timestamp: AwareDatetime
    threshold_id: str
    subject: str
    usage: str | None
    limit: str | None
    step: str | None = Field(description="The percentage of the limit that was reached.")
    period_start: AwareDatetime | None
    period_end: AwareDatetime | None


class CountedEvent(BaseModel):
    """The event as it counts, and what it is part of."""

    metric: str
    timestamp: AwareDatetime = Field(description="When it happened, cut to milliseconds.")
    quantity: str
    subject: str
    source: str
    properties: dict[str, str]
    late: bool
    added: Literal["by_the_stream", "afterwards"] = Field(
        description="How it comes into the totals: counted by the stream, or added to its totals as a late event."
    )
    totals: list[TotalOfEvent] = Field(description="The hour, day and month (UTC) of its tenant and metric.")
    alerts: list[AlertOfEvent] = Field(
        description="What was told of its tenant and metric after it was received, of periods that it lies in: the "
        "first 20. It may have contributed; which events made a step be reached is not kept."
    )
    invoice_line: None = Field(default=None, description="Always null: this version makes no invoices.")
    stripe_push: None = Field(default=None, description="Always null: this version pushes nothing to Stripe.")


class EventLife(BaseModel):
    """An event, which its tenant and id name, with every copy of it that was read."""

    tenant_id: str = Field(description="Empty where it could not be read from the line.")
    id: str
    verdict: Literal["accepted", "late", "rejected"] = Field(description="rejected: no copy of it counts.")
    reason: Reason | None = Field(default=None, description="Where rejected: of its newest copy.")
    detail: str | None = None
    events: list[CountedEvent] = Field(
        description="As it counts: empty where rejected. More than one only where the same id came with another "
        "timestamp or metric after the horizon within which ids are remembered."
    )
    appearances: list[Appearance] = Field(description="Every copy, in the order in which they were received.")
    notes: list[str] = Field(description="What is not known or left out, in words.")


class EventLives(BaseModel):
    """The events with this id, one for each tenant that has one."""

    data: list[EventLife]
    more: bool = Field(
        description="There are more copies or tenants than one answer has: narrow it down with tenant_id, metric, "
        "from and to."
    )
