"""Pydantic models of what goes over HTTP: they document it; what is read and written fast is in msgspec beside them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from meterline_api.usage.windows import Window
from meterline_schemas.catalog import Aggregation
from meterline_schemas.catalog.entry import AnyCase
from meterline_schemas.event import MAX_ID, MAX_PROPERTIES
from meterline_schemas.reject import Reason

Value = str | int | float | bool | None


class EventSubmission(BaseModel):
    """A usage event as it may be sent here: `id` may come from the `Idempotency-Key`, `timestamp` from the server."""

    id: Annotated[str, Field(min_length=1, max_length=MAX_ID)] | None = Field(
        None, description="Unique within the tenant, made once, kept on retries. Needed without Idempotency-Key."
    )
    tenant_id: str = Field(min_length=1, max_length=MAX_ID, description="Who is billed.")
    metric: str = Field(min_length=1, max_length=MAX_ID, description="Key of a defined metric.")
    quantity: str | int | float = Field(
        description="Decimal, |quantity| < 10^18, at most 9 decimals; a string or a JSON number, read exactly."
    )
    timestamp: AwareDatetime | None = Field(
        None, description="When it happened, RFC 3339 with offset. Cut to ms. By default the time of the request."
    )
    subject: Annotated[str, Field(max_length=MAX_ID)] | None = Field(
        None, description="User or project below the tenant."
    )
    source: Annotated[str, Field(max_length=MAX_ID)] | None = Field(None, description="The application that saw it.")
    properties: Annotated[dict[str, Value], Field(max_length=MAX_PROPERTIES)] | None = Field(
        None, description="Dimensions to group and filter by. Opaque ids, no PII."
    )


class UsageEvent(EventSubmission):
    """One line of a record on usage.events."""

    id: str = Field(
        min_length=1, max_length=MAX_ID, description="Unique within the tenant, made once, kept on retries."
    )
    timestamp: datetime = Field(description="When it happened, RFC 3339 with offset. Cut to ms.")


class CloudEvent(BaseModel):
    """A CloudEvents 1.0 event as usage."""

    specversion: Literal["1.0"]
    id: str = Field(min_length=1, max_length=4096, description="Unique within the source.")
    source: str = Field(min_length=1, max_length=MAX_ID, description="The application that saw it.")
    type: str = Field(min_length=1, max_length=MAX_ID, description="Key of a defined metric.")
    subject: str = Field(min_length=1, max_length=MAX_ID, description="The tenant: who is billed.")
    time: AwareDatetime | None = Field(None, description="When it happened. By default the time of the request.")
    datacontenttype: str | None = Field(None, description="application/json, or nothing.")
    data: dict[str, Any] | None = Field(
        None, description="`quantity` (or `value`; 1 without both) and, as properties, everything else."
    )


class EventStatusModel(BaseModel):
    """What became of one event."""

    index: int = Field(description="Its place in the request, from 0.")
    status: Literal["accepted", "invalid", "refused", "unknown"] = Field(
        description="accepted: Kafka holds it. invalid: it can never count as it is. refused: no more may be used; it "
        "was not sent. unknown: send it again as it is."
    )
    id: str | None = Field(None, description="The id that it goes by.")
    reason: Reason | Literal["quota_exceeded", "permission_denied"] | None = Field(
        None, description="Why it is invalid or refused."
    )
    detail: str | None = Field(None, description="The same for people.")


class AcceptedModel(BaseModel):
    """Kafka holds every event that can count."""

    accepted: int = Field(description="Events with status accepted.")
    invalid: int = Field(description="Events with status invalid.")
    events: list[EventStatusModel] = Field(description="One for each event, in order.")
    refused: int = Field(0, description="Events with status refused; left out where there are none.")
    min_offset: str = Field("", description="Pass it to `/v1/usage`: it answers once these events are in.")


class FieldProblem(BaseModel):
    """What is wrong with one parameter."""

    field: str
    detail: str


class ProblemModel(BaseModel):
    """An error (RFC 9457)."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    code: str = Field(description="For programs: its meaning never changes.")
    detail: str = Field(description="For people: what to do.")
    events: list[EventStatusModel] | None = Field(None, description="Of a request with events, one for each, in order.")
    errors: list[FieldProblem] | None = Field(None, description="Of invalid_request, one for each parameter.")


class UsagePrevious(BaseModel):
    """The same numbers over the window before."""

    start: AwareDatetime = Field(serialization_alias="from")
    end: AwareDatetime = Field(serialization_alias="to")
    value: str
    count: int


class UsageRow(BaseModel):
    """Usage of one metric in `[from, to)`, of the group that the other members name."""

    start: AwareDatetime = Field(
        serialization_alias="from", description="Start of the window, or of the request where it is later."
    )
    end: AwareDatetime = Field(
        serialization_alias="to", description="End of the window, or of the request where it is earlier."
    )
    metric: str
    aggregation: Aggregation = Field(description="What `value` is, as the metric is defined.")
    unit: str
    value: str = Field(
        description="The metric's number over the window: an exact decimal. An average and what a gauge held are "
        "rounded once, half to even, at the ninth."
    )
    count: int = Field(
        description="Events of the window and group, those without the property of a unique count included; "
        "0 where only an earlier reading of a gauge holds."
    )
    tenant_id: str | None = Field(None, description="Where grouped by it.")
    subject: str | None = Field(None, description="Where grouped by it; empty for events without one.")
    source: str | None = Field(None, description="Where grouped by it; empty for events without one.")
    properties: dict[str, str | None] | None = Field(
        None, description="Where grouped by properties: the value of each, null for events without it."
    )
    previous: UsagePrevious | None = Field(None, description="With `compare=previous`.")
    change_percent: str | None = Field(
        None,
        description="With `compare=previous`: by how much `value` is above the previous, one decimal; null from 0.",
    )
    other: bool | None = Field(
        None, description="With `other=true`: the row is what the rows beside the top add up to."
    )


class UsageAnswer(BaseModel):
    """Rows in order of window, then of the group; `next_cursor` where there are more."""

    start: AwareDatetime = Field(serialization_alias="from")
    end: AwareDatetime = Field(serialization_alias="to")
    window: Window | None
    timezone: str | None = Field(None, description="The zone of the windows, where one was asked for.")
    data: list[UsageRow]
    next_cursor: str | None = Field(None, description="Pass it as `cursor` for the rows after these.")


class UsageAggregateRequest(BaseModel):
    """Which period to compute again: of all tenants and metrics unless named."""

    model_config = ConfigDict(extra="forbid")

    period_type: Annotated[Literal["hourly", "daily", "monthly"], AnyCase]
    period_start: AwareDatetime = Field(description="The first instant of an hour, day or month in UTC.")
    metric: Annotated[str, Field(min_length=1, max_length=MAX_ID)] | None = None
    tenant_id: Annotated[str, Field(min_length=1, max_length=MAX_ID)] | None = None


class UsageFold(BaseModel):
    """What one way of counting says. Decimals are text, empty where it knows of no event."""

    count: int
    sum: str
    min: str
    max: str
    last: str


class UsageDifference(BaseModel):
    """A tenant and metric of which both ways say something else."""

    tenant_id: str
    metric: str
    totals: UsageFold = Field(description="What usage is answered from: the totals of the stream and late events.")
    events: UsageFold = Field(description="What the single events come to.")


class UsageAggregateAnswer(BaseModel):
    """What came of computing a period again."""

    period_type: Literal["hourly", "daily", "monthly"]
    period_start: AwareDatetime
    period_end: AwareDatetime = Field(description="Not included.")
    compared: int = Field(description="Tenants x metrics.")
    different: int = Field(description="How many of them differ.")
    differences: list[UsageDifference] = Field(description="The first 100 of these, by tenant and metric.")
    notification_id: str = Field(description="Id of the notification usage.aggregated that tells of it.")


class LiveAnswer(BaseModel):
    """The process answers."""

    live: bool


class ReadyAnswer(LiveAnswer):
    """Whether events are taken, and why not."""

    ready: bool
    problem: str | None


class HealthAnswer(BaseModel):
    """How the API and what it depends on are."""

    model_config = ConfigDict(extra="allow")

    live: bool
    ready: bool = Field(description="Events are taken.")
    progressing: bool = Field(description="Everything that was taken is being counted and written.")
