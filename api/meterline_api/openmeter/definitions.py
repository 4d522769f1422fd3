"""Our metrics as OpenMeter shows meters. Pure.

A metric that no configured meter counts is one of the events with its key as their type, whose ``data`` has the
number as ``quantity``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from meterline_api.openmeter.meters import KEY, RESERVED, Meter
from meterline_schemas.catalog import Aggregation, Metric
from meterline_schemas.catalog.metric import SUBJECT

_UNKNOWN: Final = datetime(1970, 1, 1, tzinfo=UTC)
_KEY: Final = re.compile(KEY, re.ASCII)


def contradiction(metric: Metric, meter: Meter) -> str:
    """In what the catalog and the file with meters differ such that a number would mean two things, or nothing."""
    theirs = meter.metric
    if metric.aggregation is not theirs.aggregation:
        return f"the catalog says {metric.aggregation}, the file with meters {meter.aggregation}"
    if metric.unique_by != theirs.unique_by:
        return f"the catalog counts {metric.unique_by!r}, the file with meters {theirs.unique_by!r}"
    return ""


def groups(metric: Metric, meter: Meter | None) -> dict[str, str]:
    """The names that usage may be grouped by, with their paths."""
    if meter is not None:
        return dict(meter.group_by)
    return {name: f"$.{name}" for name in metric.group_by if _KEY.fullmatch(name) and name not in RESERVED}


def shown(metric: Metric, meter: Meter | None) -> dict[str, Any]:
    """One meter. Its id is its slug, and when it was made is when it was last changed."""
    changed = (metric.changed_at or _UNKNOWN).isoformat().replace("+00:00", "Z")
    found: dict[str, Any] = {
        "id": metric.key,
        "slug": metric.key,
        "name": metric.name or metric.key,
        "description": metric.description,
        "aggregation": "LATEST" if metric.aggregation is Aggregation.LAST else metric.aggregation.upper(),
        "eventType": metric.key if meter is None else meter.event_type,
        "valueProperty": _value_property(metric) if meter is None else meter.value_property,
        "groupBy": groups(metric, meter),
        "createdAt": changed,
        "updatedAt": changed,
    }
    if meter is not None and meter.event_from is not None:
        found["eventFrom"] = meter.event_from.isoformat().replace("+00:00", "Z")
    if metric.retired:
        found["deletedAt"] = changed
    return {name: value for name, value in found.items() if value not in (None, "", {})}


def ordered(meters: Iterable[dict[str, Any]], by: str, *, descending: bool) -> list[dict[str, Any]]:
    """Meters by one of their fields (``key`` is the slug), and where it is the same by slug."""
    name = "slug" if by == "key" else by
    return sorted(meters, key=lambda meter: (meter[name], meter["slug"]), reverse=descending)


def _value_property(metric: Metric) -> str | None:
    match metric.aggregation:
        case Aggregation.COUNT:
            return None
        case Aggregation.UNIQUE_COUNT:
            return None if metric.unique_by == SUBJECT else f"$.{metric.unique_by}"
        case _:
            return "$.quantity"
