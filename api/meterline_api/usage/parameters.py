"""What usage is asked with, in a URL or in a body, and the query that it comes to."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError
from pydantic import WithJsonSchema as Shown

from meterline_api.fields import FieldsError, read_fields
from meterline_api.problems import Code, Problem
from meterline_api.usage.answer import invalid
from meterline_api.usage.filters import Filter, FilterError, read_filter
from meterline_api.usage.freshness import PATTERN as OFFSETS
from meterline_api.usage.freshness import read_offsets
from meterline_api.usage.query import CursorError, UsageQuery, read_cursor
from meterline_api.usage.ranges import range_of
from meterline_api.usage.windows import DURATIONS, Window, whole_hours
from meterline_schemas.catalog import Metric
from meterline_schemas.catalog.entry import TimeZone, problems_of
from meterline_schemas.event import MAX_ID

MAX_ROWS: Final = 10_000  # of an answer
_MAX_FILTER: Final = 16_384  # characters
_zone: Final = TypeAdapter(TimeZone)

Name = Annotated[str, Field(min_length=1, max_length=MAX_ID)]
Grouping = Annotated[
    str,
    StringConstraints(pattern=rf"^(tenant_id|metric|subject|source|properties\.[\s\S]{{1,{MAX_ID}}})$"),
]


class UsageParameters(BaseModel):
    """Which usage, in which windows, told apart by what."""

    tenant_id: Name | None = None
    metric: Name | None = None
    subject: Annotated[str, Field(max_length=MAX_ID)] | None = Field(
        None, description="Only of this user or project; empty: only events without one."
    )
    start: AwareDatetime | None = Field(
        None,
        alias="from",
        description="A whole hour in UTC; a whole minute where the answer is computed from the events. By default the "
        "start of the month that `to` ends.",
    )
    end: AwareDatetime | None = Field(
        None, alias="to", description="As `from`, not included. By default the end of this hour."
    )
    window: Annotated[Window, Shown({"type": "string", "enum": [*Window, *DURATIONS]})] | None = Field(
        None, description="A row for each; without it one for the whole range. A week begins on Monday."
    )
    timezone: Annotated[str, Field(max_length=64)] | None = Field(
        None,
        description="IANA name of the zone that windows follow. By default UTC, for billing periods the tenant's own.",
        examples=["Europe/Vienna"],
    )
    group_by: Annotated[list[Grouping], Field(max_length=12)] = Field(
        [],
        description="Tell rows apart by these as well: `tenant_id`, `subject`, `source`, `properties.<name>`. A metric "
        "always has rows of its own.",
    )
    compare: Literal["previous"] | None = Field(
        None, description="Beside each row the window before: the previous month of a month, or as long a time."
    )
    top: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        None, description="Only so many rows of each window and metric, those of the greatest values."
    )
    order: Literal["-value", "value"] | None = Field(
        None, description="With `top`: the greatest values first (`-value`, as without it), or the least."
    )
    other: bool = Field(False, description="With `top`: a row for what the others add up to, of sums and counts.")
    min_offset: Annotated[str, Field(pattern=OFFSETS, max_length=2000)] | None = Field(
        None,
        description="`<partition>:<offset>[,…]` of usage.events: answer only once everything before it is in.",
        examples=["0:1201"],
    )
    limit: Annotated[int, Field(ge=1, le=MAX_ROWS)] = 1000
    cursor: Annotated[str, Field(max_length=4096)] | None = Field(
        None, description="`next_cursor` of the answer before."
    )


class UsageInUrl(UsageParameters):
    """As parameters of a URL."""

    filter: Annotated[str, Field(max_length=_MAX_FILTER)] | None = Field(
        None, description="A JSON object, as in `POST /v1/usage/query`.", examples=['{"subject": {"prefix": "user:"}}']
    )

    def document(self) -> Any:
        """The filter's document.

        Raises:
            Problem: it is no JSON object.
        """
        if self.filter is None:
            return None
        try:
            return read_fields(self.filter.encode())
        except (FieldsError, UnicodeEncodeError) as error:
            raise invalid("filter", str(error).replace("the body", "it")) from None


class UsageInBody(UsageParameters):
    """As a JSON object."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    filter: dict[str, Any] | None = Field(
        None,
        description="Fields with what they must be: `eq`, `ne`, `in`, `prefix`, `gt`, `gte`, `lt`, `lte`, `exists`; "
        "`and` and `or` with lists of such objects.",
        examples=[
            {"subject": {"prefix": "user:"}, "or": [{"quantity": {"gt": "2.5"}}, {"properties.plan": {"eq": "pro"}}]}
        ],
    )

    def document(self) -> Any:
        """The filter's document."""
        return self.filter


_KNOWN: Final = [field.alias or name for name, field in UsageInBody.model_fields.items()]


def read_parameters(fields: Mapping[str, Any]) -> UsageInBody:
    """
    Raises:
        Problem: 422, with every mistake.
    """
    unknown = [name for name in fields if name not in _KNOWN]
    if unknown:
        raise invalid(ascii(unknown[0])[1:-1][:100], f"is not known; fields are {', '.join(_KNOWN)}")
    try:
        return UsageInBody.model_validate(dict(fields))
    except ValidationError as error:
        errors = [{"field": found.field, "detail": found.detail} for found in problems_of(error, _KNOWN)]
        detail = "; ".join(f"{found['field']}: {found['detail']}" for found in errors)
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, Code.INVALID_REQUEST, detail, errors=errors) from None


def query_of(
    asked: UsageInUrl | UsageInBody, tenants: tuple[str, ...] | None, metrics: Mapping[str, Metric], now: datetime
) -> UsageQuery:
    """
    Raises:
        Problem: 422, or 404 for a metric that is not defined.
    """
    zone = _known_zone(asked.timezone)
    if asked.metric is not None and asked.metric not in metrics:
        raise Problem(HTTPStatus.NOT_FOUND, Code.UNKNOWN_METRIC, f"metric {asked.metric!r} is not defined")
    if asked.top is None and (asked.order is not None or asked.other):
        raise invalid("order" if asked.order is not None else "other", "is for the rows that top chooses: give top too")
    if asked.top is not None and asked.cursor is not None:
        raise invalid("cursor", "does not go with top, whose rows are given at once; leave one of them out")
    if asked.other and asked.compare is not None:
        raise invalid("other", "does not go with compare; leave one of them out")
    # the range is not known yet, and what the query is about decides which ranges there can be
    query = UsageQuery(
        now,
        now,
        asked.window,
        tenants,
        asked.metric,
        asked.subject,
        tuple(asked.group_by),
        asked.limit if asked.top is None else MAX_ROWS,
        zone=zone,
        filter=_filter(asked),
        compare=asked.compare is not None,
        top=asked.top,
        least=asked.order == "value",
        other=asked.other,
    )
    minutes = query.of_events or (asked.metric is not None and metrics[asked.metric].aggregation.from_events)
    start, end = range_of(asked.start, asked.end, now, zone=zone or "UTC", minutes=True)
    if not minutes and whole_hours(zone or "UTC", int(start.timestamp()), int(end.timestamp())):
        start, end = range_of(asked.start, asked.end, now, zone=zone or "UTC")
    query = dataclasses.replace(query, start=start, end=end)
    if asked.cursor is None:
        return query
    try:
        return dataclasses.replace(query, after=read_cursor(asked.cursor, query))
    except CursorError as error:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, Code.INVALID_CURSOR, str(error)) from None


def offsets_of(asked: UsageParameters) -> dict[int, int]:
    """What must be in before the answer.

    Raises:
        Problem: 422.
    """
    try:
        return read_offsets(asked.min_offset) if asked.min_offset is not None else {}
    except ValueError as error:
        raise invalid("min_offset", str(error)) from None


def _filter(asked: UsageInUrl | UsageInBody) -> Filter | None:
    document = asked.document()
    try:
        return None if document is None else read_filter(document)
    except FilterError as error:
        raise invalid("filter", str(error)) from None


def _known_zone(name: str | None) -> str | None:
    try:
        return None if name is None else _zone.validate_python(name)
    except ValidationError as error:
        raise invalid("timezone", error.errors()[0]["msg"].removeprefix("Value error, ")) from None
