"""What goes over HTTP about rejected lines."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from meterline_schemas.event import MAX_ID
from meterline_schemas.reject import Reason

MAX_LINES = 10_000  # of a replay
MAX_PLACES = 1000


class RejectedAnswer(BaseModel):
    """A line that does not count, and why. Names that could not be read from it are empty."""

    topic: str = Field(description="The topic that it was read from: usage.events.")
    partition: int
    offset: int = Field(description="Of its record in the partition.")
    line: int = Field(description="Which line of the record, blank ones not counted, from 0.")
    received_at: AwareDatetime = Field(description="When the broker took it.")
    reason: Reason
    detail: str = Field(description="The same for people, with what to do.")
    tenant_id: str
    metric: str
    id: str
    lines: int = Field(
        description="How many lines this stands for: above 1 only for what exceeds the lines that a record may have."
    )
    raw: str = Field(description="The first 64 KB of the line as it came, but for denied properties.")
    raw_encoding: Literal["utf-8", "base64"] = Field(description="base64 where the bytes are no text.")
    raw_bytes: int = Field(description="Length of the whole line.")
    raw_sha256: str = Field(description="SHA-256 of the whole line, in hexadecimal.")


class RejectedPage(BaseModel):
    """Rejected lines, the newest first; `next_cursor` where there are more."""

    data: list[RejectedAnswer]
    next_cursor: str | None = Field(None, description="Pass it as `cursor` for the lines after these.")


class RejectedCount(BaseModel):
    """How many lines were rejected in `[from, to)`, of the group that the other members name."""

    start: AwareDatetime = Field(serialization_alias="from")
    end: AwareDatetime = Field(serialization_alias="to")
    lines: int
    reason: Reason | None = Field(None, description="Where grouped by it.")
    metric: str | None = Field(None, description="Where grouped by it; empty where it could not be read.")
    tenant_id: str | None = Field(None, description="Where grouped by it; empty where it could not be read.")


class RejectedCounts(BaseModel):
    """Rows in the order of time, then of the group; only those with lines. `next_cursor` where there are more."""

    start: AwareDatetime = Field(serialization_alias="from")
    end: AwareDatetime = Field(serialization_alias="to")
    window: Literal["hour", "day"] | None
    data: list[RejectedCount]
    next_cursor: str | None = Field(None, description="Pass it as `cursor` for the rows after these.")


class RejectedPlace(BaseModel):
    """One rejected line, as `GET /v1/rejected-events` names it."""

    model_config = ConfigDict(extra="forbid")

    topic: Literal["usage.events"] = "usage.events"
    partition: int = Field(ge=0, lt=2**31)
    offset: int = Field(ge=0, lt=2**63)
    line: int = Field(0, ge=0, lt=2**32)


_Name = Annotated[str, Field(min_length=1, max_length=MAX_ID)]


class ReplayRequest(BaseModel):
    """Which rejected lines are judged again: all that everything given here fits."""

    model_config = ConfigDict(extra="forbid")

    reasons: Annotated[list[Reason], Field(max_length=8)] | None = Field(
        None,
        description="By default unknown_metric, unknown_tenant, too_old and in_future; of `places`, all. duplicate, "
        "invalid_json and invalid_event cannot be asked for: judging them again changes nothing.",
    )
    tenant_id: _Name | None = None
    metric: _Name | None = None
    start: AwareDatetime | None = Field(None, alias="from", description="Received from this instant on.")
    end: AwareDatetime | None = Field(None, alias="to", description="Received before this instant.")
    places: Annotated[list[RejectedPlace], Field(min_length=1, max_length=MAX_PLACES)] | None = Field(
        None, description="Only these lines."
    )
    limit: int = Field(1000, ge=1, le=MAX_LINES, description="Look at so many distinct lines at most.")
    cursor: Annotated[str, Field(max_length=4096)] | None = Field(
        None, description="`next_cursor` of the answer before, with the same filter."
    )
    dry_run: bool = Field(False, description="Say what would be sent, and send nothing.")


class ReplaySkipped(BaseModel):
    """Lines that were not sent."""

    reason: str = Field(
        description="counted, still_unknown, tenant_still_unknown, still_out_of_range, too_long, no_event; of places "
        "also duplicate, invalid_json, invalid_event. Others may come."
    )
    detail: str = Field(description="The same for people.")
    count: int


class ReplayAnswer(BaseModel):
    """What came of it: `matched` = `chosen` + all that is skipped."""

    dry_run: bool
    matched: int = Field(description="Distinct lines that were looked at: copies of one line are one.")
    chosen: int = Field(description="Of these, lines to send.")
    replayed: int = Field(description="Of these, lines that Kafka holds now: with `dry_run` none.")
    skipped: list[ReplaySkipped]
    undefined_metrics: list[str] = Field(description="Metrics that are still not defined, ten at most.")
    undefined_tenants: list[str] = Field([], description="Tenants that are still not defined, ten at most.")
    not_found: int = Field(0, description="Of `places`, those where no rejected line is known.")
    next_cursor: str | None = Field(
        None, description="There are more lines than `limit`: pass it as `cursor` for those after these."
    )
