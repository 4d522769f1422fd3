"""Metric definitions: what is counted, and what its number is."""

from __future__ import annotations

import re
from collections.abc import Set
from enum import StrEnum
from typing import Annotated, ClassVar, Final, Self

from pydantic import Field, field_validator, model_validator

from meterline_schemas.catalog.entry import AnyCase, Entry, Label, TenantId
from meterline_schemas.periods import Period

_KEY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}", re.ASCII)


class Aggregation(StrEnum):
    """What a metric's number is, over any window. Closed.

    ``time_weighted``: each quantity is the reading of a gauge and holds until the next; the number is unit x hours.
    ``unique_count``: how many different values the property that ``unique_by`` names has.
    ``pNN``: the nearest-rank percentile.
    """

    COUNT = "count"
    SUM = "sum"
    AVG = "avg"
    MIN = "min"
    MAX = "max"
    LAST = "last"
    TIME_WEIGHTED = "time_weighted"
    UNIQUE_COUNT = "unique_count"
    P50 = "p50"
    P75 = "p75"
    P90 = "p90"
    P95 = "p95"
    P99 = "p99"

    @property
    def percentile(self) -> int | None:
        """The NN of ``pNN``."""
        return int(self[1:]) if self[0] == "p" else None

    @property
    def from_events(self) -> bool:
        """Whether it is computed from the events: totals of hours cannot be put together to it."""
        return self in _FROM_EVENTS


_FROM_EVENTS: Final = frozenset(Aggregation) - {"count", "sum", "avg", "min", "max", "last"}

SUBJECT: Final = "subject"  # as ``unique_by``: the event's subject instead of a property


class Metric(Entry):
    """One metric. ``retired`` metrics are no longer offered and still count: usage is never lost to a deletion.

    ``tenant_id`` is set where the metric belongs to one tenant: events of others are rejected. ``group_by`` names the
    properties that reports may group by.
    """

    kind: ClassVar = "metric"

    key: Annotated[str, Field(min_length=1, max_length=128)]
    name: Label = ""
    description: Label = ""
    unit: Annotated[str, Field(max_length=64)] = ""
    aggregation: Annotated[Aggregation, AnyCase] = Aggregation.SUM
    reset_period: Annotated[Period, AnyCase] = Period.MONTHLY
    tenant_id: TenantId = ""
    unique_by: Annotated[str, Field(max_length=128, description="of unique_count: `subject` or a property")] = ""
    group_by: Annotated[tuple[str, ...], Field(max_length=20)] = ()
    allow_negative: bool = False
    retired: bool = False

    @field_validator("key")
    @classmethod
    def _is_key(cls, key: str) -> str:
        if not _KEY.fullmatch(key):
            raise ValueError(
                f"metric key {key!r}: letters, digits and _ . : - only, 1 to 128 of them, first a letter or digit"
            )
        return key

    @field_validator("reset_period")
    @classmethod
    def _is_of_calendar(cls, period: Period) -> Period:
        if period is Period.BILLING:
            raise ValueError(
                "is billing; choose never, hourly, daily or monthly: a quota may follow the billing period"
            )
        return period

    @model_validator(mode="after")
    def _names_what_is_unique(self) -> Self:
        if (self.aggregation is Aggregation.UNIQUE_COUNT) != bool(self.unique_by):
            raise ValueError(
                "unique_count needs `unique_by`: the name of the property to count, or `subject`"
                if not self.unique_by
                else f"`unique_by` is only for unique_count, not for {self.aggregation}"
            )
        return self

    @property
    def identity(self) -> str:
        return self.key

    def counts_any_of(self, denied: Set[str]) -> bool:
        """Whether it counts the values of one of these properties, named in the form of ``str.casefold``."""
        return self.unique_by != SUBJECT and self.unique_by.casefold() in denied
