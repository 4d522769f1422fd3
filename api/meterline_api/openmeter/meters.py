"""Meters as OpenMeter defines them, and the metric of ours that each is. Pure.

A meter counts the events of one type; several may count the same. Fields that are not needed here (``id``,
``createdAt``, ``windowSize``, …) are passed over, so that its configuration and its API's answers can be read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Final, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic.alias_generators import to_camel

from meterline_api.openmeter.paths import Path, PathError, parse
from meterline_schemas import catalog
from meterline_schemas.catalog.entry import problems_of
from meterline_schemas.event import MAX_ID

SLUG: Final = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
KEY: Final = r"^[A-Za-z_][A-Za-z0-9_]{0,127}$"
RESERVED: Final = ("subject", "customer_id")


class Aggregation(StrEnum):
    """OpenMeter's aggregations."""

    SUM = "SUM"
    COUNT = "COUNT"
    UNIQUE_COUNT = "UNIQUE_COUNT"
    AVG = "AVG"
    MIN = "MIN"
    MAX = "MAX"
    LATEST = "LATEST"

    @property
    def ours(self) -> catalog.Aggregation:
        return catalog.Aggregation("last" if self is Aggregation.LATEST else self.lower())


class MetersError(ValueError):
    """The definitions are wrong; ``problems`` says each mistake."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Meter(BaseModel):
    """One meter. ``value_property`` and what ``group_by`` names are paths into an event's ``data``."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel)

    slug: Annotated[str, Field(pattern=SLUG)]
    event_type: Annotated[str, Field(min_length=1, max_length=MAX_ID)]
    aggregation: Aggregation
    value_property: str | None = None
    group_by: dict[Annotated[str, Field(pattern=KEY)], str] = {}
    event_from: AwareDatetime | None = None
    name: str | None = None
    description: str | None = None

    @field_validator("group_by", mode="before")
    @classmethod
    def _none_is_empty(cls, value: Any) -> Any:
        return {} if value is None else value

    @model_validator(mode="after")
    def _can_be_read(self) -> Self:
        if self.aggregation is Aggregation.COUNT:
            if self.value_property:
                raise ValueError("valueProperty is not for COUNT: leave it out")
        elif not self.value_property:
            raise ValueError(f"valueProperty is missing: {self.aggregation} needs one, such as $.tokens")
        for key in RESERVED:
            if key in self.group_by:
                raise ValueError(f"groupBy.{key}: the name is taken; choose another")
        for name, text in (("valueProperty", self.value_property), *self.group_by.items()):
            try:
                parse(text) if text else None
            except PathError as error:
                raise ValueError(f"{name}: {error}") from None
        if len(self.metric.unique_by) > 128:
            raise ValueError("valueProperty: at most 128 characters are read")
        return self

    @cached_property
    def value_path(self) -> Path | None:
        return parse(self.value_property) if self.value_property else None

    @cached_property
    def group_paths(self) -> Mapping[str, Path]:
        return {name: parse(text) for name, text in self.group_by.items()}

    @property
    def unique_by(self) -> str:
        """Of UNIQUE_COUNT the property that keeps the value. It has no name that a group-by may have."""
        if self.aggregation is not Aggregation.UNIQUE_COUNT or self.value_property is None:
            return ""
        name = self.value_property.removeprefix("$.")
        return self.value_property if name in self.group_by else name

    @property
    def metric(self) -> catalog.Metric:
        """The metric that counts as this meter does; negative values count, as they do there."""
        return catalog.Metric(
            key=self.slug,
            name=(self.name or "")[:1000],
            description=(self.description or "")[:1000],
            aggregation=self.aggregation.ours,
            unique_by=self.unique_by,
            group_by=tuple(self.group_by),
            allow_negative=True,
        )


@dataclass(frozen=True)
class Meters:
    """All meters, by slug and by the type of event that they count."""

    by_slug: Mapping[str, Meter] = field(default_factory=dict)
    by_type: Mapping[str, tuple[Meter, ...]] = field(default_factory=dict)


def meters_of(value: object) -> Meters:
    """Meters from a list of definitions, or from an object that has one as ``meters``.

    Raises:
        MetersError: with every mistake.
    """
    items = value.get("meters") if isinstance(value, dict) else value
    if not isinstance(items, list):
        raise MetersError(["a list of meters is wanted, or an object that has one as `meters`"])
    problems: list[str] = []
    found: list[Meter] = []
    for place, item in enumerate(items, 1):
        named = item.get("slug") if isinstance(item, dict) else None
        try:
            found.append(Meter.model_validate(item))
        except ValidationError as invalid:
            where = f"meter {place}" + (f" ({named})" if isinstance(named, str) else "")
            problems += [f"{where}: {problem}" for problem in problems_of(invalid, Meter.model_fields)]
    for slug, times in Counter(meter.slug for meter in found).items():
        if times > 1:
            problems.append(f"slug {slug} is there {times} times")
    if problems:
        raise MetersError(problems)
    types: dict[str, tuple[Meter, ...]] = {}
    for meter in found:
        types[meter.event_type] = (*types.get(meter.event_type, ()), meter)
    return Meters({meter.slug: meter for meter in found}, types)
