"""A question to a meter in OpenMeter's words, and the answer in its forms. Pure."""

from __future__ import annotations

import ast
import csv
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Final, NamedTuple

import msgspec
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from meterline_api.fields import FieldsError, read_fields
from meterline_api.numbers import number
from meterline_schemas.catalog import FieldProblem, RefusedError
from meterline_schemas.catalog.entry import TimeZone, problems_of
from meterline_schemas.event import MAX_ID

SUBJECT: Final = "subject"
MOST_NAMES: Final = 100
_LISTS: Final = ("subject", "groupBy", "filterCustomerId")
_TEXT: Final = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_PYTHON: Final = re.compile(rf"\{{{_TEXT}: {_TEXT}(?:, {_TEXT}: {_TEXT})*\}}")
"""An object as Python writes it, ``{'model': "gpt'4"}``: the Python SDK puts it so into a URL."""
_OBJECTS: Final = ("filterGroupBy", "advancedMeterGroupByFilters")

Name = Annotated[str, Field(min_length=1, max_length=MAX_ID)]
Text = Annotated[str, Field(max_length=MAX_ID)]


class WindowSize(StrEnum):
    MINUTE = "MINUTE"
    HOUR = "HOUR"
    DAY = "DAY"
    MONTH = "MONTH"


class FilterString(BaseModel):
    """What the value of a group-by must be. Of several conditions all must hold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    eq: Annotated[Text | None, Field(alias="$eq")] = None
    ne: Annotated[Text | None, Field(alias="$ne")] = None
    one_of: Annotated[list[Text] | None, Field(alias="$in", min_length=1, max_length=MOST_NAMES)] = None
    none_of: Annotated[list[Text] | None, Field(alias="$nin", max_length=MOST_NAMES)] = None


class MeterQuery(BaseModel):
    """A question to a meter: the body of a POST, and what the parameters of a GET say."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel)

    client_id: str | None = Field(None, description="Taken, and used for nothing.")
    start: AwareDatetime | None = Field(None, alias="from", description="Inclusive. By default the beginning of time.")
    end: AwareDatetime | None = Field(None, alias="to", description="Not included. By default now.")
    window_size: WindowSize | None = Field(None, description="A row for each; without it one for the whole range.")
    window_time_zone: TimeZone | None = Field(None, description="IANA; by default UTC.")
    subject: Annotated[list[Name], Field(max_length=MOST_NAMES)] | None = Field(
        None, description="Only of these tenants, and a row for each."
    )
    filter_customer_id: None = Field(None, description="Not offered: use `subject`.")
    filter_group_by: Annotated[dict[str, Annotated[list[Text], Field(max_length=MOST_NAMES)]], Field(max_length=20)] = (
        Field({}, description="Only where each of these group-bys has one of the values.")
    )
    advanced_meter_group_by_filters: Annotated[dict[str, FilterString], Field(max_length=20)] = Field(
        {}, description="Only where each of these group-bys fulfils its conditions."
    )
    group_by: Annotated[list[Name], Field(max_length=20)] = Field(
        [], description="A row for each: `subject`, or a name in the meter's groupBy."
    )

    @property
    def groups(self) -> list[str]:
        """What rows are told apart by: subjects that are filtered by are too, as in OpenMeter."""
        return list(dict.fromkeys([*self.group_by, *([SUBJECT] if self.subject is not None else [])]))


class MeterQueryRow(BaseModel):
    """Usage of one window and group."""

    value: float = Field(description="A JSON number with every digit.")
    windowStart: AwareDatetime
    windowEnd: AwareDatetime
    subject: str | None = Field(None, description="The tenant, where grouped by it.")
    groupBy: dict[str, str | None] = Field(description="Values of the other names that are grouped by.")


class MeterQueryResult(BaseModel):
    """The answer of a meter. `from`, `to` and `windowSize` are as they were asked for."""

    start: AwareDatetime | None = Field(None, alias="from")
    to: AwareDatetime | None = None
    windowSize: WindowSize | None = None
    data: list[MeterQueryRow]


class Found(NamedTuple):
    """A row of usage with the bounds of its whole window, and its group: None for events without the value."""

    value: str
    start: datetime
    end: datetime
    groups: dict[str, str | None]


def read_query(fields: Mapping[str, Any]) -> MeterQuery:
    """A question from the members of a body, or from parameters by their names. A member that is null is not given.

    Raises:
        RefusedError: it is none, with every mistake.
    """
    try:
        return MeterQuery.model_validate({name: value for name, value in fields.items() if value is not None})
    except ValidationError as invalid:
        raise RefusedError("invalid", problems_of(invalid, MeterQuery.model_fields)) from None


def read_parameters(parameters: Iterable[tuple[str, str]]) -> MeterQuery:
    """A question from the parameters of a URL, in order. Lists are repeated; ``filterGroupBy[model]=x`` and
    ``filterGroupBy={"model":"x"}`` are the same.

    Raises:
        RefusedError: it is none, with every mistake.
    """
    fields: dict[str, Any] = {}
    for name, text in parameters:
        head, bracket, key = name.partition("[")
        if name in _LISTS:
            fields.setdefault(name, []).append(text)
        elif head in _OBJECTS:
            found = fields.setdefault(head, {})
            if bracket:
                found.update({key.removesuffix("]"): text})
            else:
                found.update(_object(name, text))
        elif name in fields:
            raise RefusedError("invalid", [FieldProblem(name, "is there twice; which one is meant?")])
        elif text:
            fields[name] = text
    if "filterGroupBy" in fields:
        values = fields["filterGroupBy"]
        fields["filterGroupBy"] = {key: value if isinstance(value, list) else [value] for key, value in values.items()}
    if "advancedMeterGroupByFilters" in fields:
        name, values = "advancedMeterGroupByFilters", fields["advancedMeterGroupByFilters"]
        fields[name] = {key: _object(name, value) if isinstance(value, str) else value for key, value in values.items()}
    return read_query(fields)


def _object(name: str, text: str) -> dict[str, Any]:
    if _PYTHON.fullmatch(text):
        try:
            found: dict[str, Any] = ast.literal_eval(text)
        except (SyntaxError, ValueError):
            pass
        else:
            return found
    try:
        return read_fields(text.encode())
    except (FieldsError, UnicodeEncodeError):
        raise RefusedError("invalid", [FieldProblem(name, 'must be a JSON object, such as {"model": "x"}')]) from None


def instant(at: datetime) -> str:
    """RFC 3339 in UTC."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def result(query: MeterQuery, rows: Iterable[Found]) -> bytes:
    """The answer as JSON."""
    answer: dict[str, Any] = {
        "from": None if query.start is None else instant(query.start),
        "to": None if query.end is None else instant(query.end),
        "windowSize": query.window_size,
    }
    answer = {name: value for name, value in answer.items() if value is not None}
    answer["data"] = [_row(row) for row in rows]
    return msgspec.json.encode(answer)


class _Lines(list[str]):
    """What a CSV writer writes to."""

    def write(self, line: str) -> None:
        self.append(line)


def table(query: MeterQuery, rows: Iterable[Found]) -> str:
    """The answer as CSV: window, subject where grouped by it, the other groups, value."""
    names = sorted(query.groups, key=lambda name: name != SUBJECT)
    lines = _Lines()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(["window_start", "window_end", *names, "value"])
    for row in rows:
        writer.writerow(
            [instant(row.start), instant(row.end), *(row.groups.get(name, "") for name in names), row.value]
        )
    return "".join(lines)


def _row(row: Found) -> dict[str, Any]:
    return {
        "value": number(row.value),
        "windowStart": instant(row.start),
        "windowEnd": instant(row.end),
        "subject": row.groups.get(SUBJECT),
        "groupBy": {name: value for name, value in row.groups.items() if name != SUBJECT},
    }
