"""Query parameters that several routes take."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from meterline_schemas.event import MAX_ID

Limit = Annotated[int, Query(ge=1, le=1000, description="Entries in one answer.")]
Cursor = Annotated[str | None, Query(max_length=4096, description="`next_cursor` of the answer before.")]
OfMetric = Annotated[str | None, Query(max_length=128, description="Only those of this metric.")]
OfTenant = Annotated[
    str | None, Query(max_length=MAX_ID, description="Only those of this tenant; empty: those that are for all.")
]
OfSubject = Annotated[
    str | None, Query(max_length=MAX_ID, description="Only those of this subject; empty: those of a tenant itself.")
]
