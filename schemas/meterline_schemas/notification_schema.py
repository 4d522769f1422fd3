"""JSON Schema 2020-12 of each type of notification, checked in under ``schemas/notifications``.

``python -m meterline_schemas.notification_schema FOLDER`` writes them there.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import msgspec
from msgspec import Struct

from meterline_schemas.notification import (
    BillingThresholdExceeded,
    MetricChanged,
    Notification,
    PaymentFailed,
    RunProblems,
    ThresholdCrossed,
    Type,
    UsageAggregated,
    UsageRefused,
)

DATA: Final[Mapping[Type, type[Struct]]] = MappingProxyType(
    {
        Type.METRIC_DEFINED: MetricChanged,
        Type.METRIC_UPDATED: MetricChanged,
        Type.METRIC_DELETED: MetricChanged,
        Type.USAGE_AGGREGATED: UsageAggregated,
        Type.THRESHOLD_APPROACHING: ThresholdCrossed,
        Type.THRESHOLD_EXCEEDED: ThresholdCrossed,
        Type.THRESHOLD_RESOLVED: ThresholdCrossed,
        Type.BILLING_THRESHOLD_EXCEEDED: BillingThresholdExceeded,
        Type.RUN_PROBLEMS: RunProblems,
        Type.PAYMENT_FAILED: PaymentFailed,
        Type.USAGE_REFUSED: UsageRefused,
    }
)

# what a struct holds as JSON that is written already has no schema of its own
_WRITTEN: Final[Mapping[type[Struct], Mapping[str, Any]]] = {
    BillingThresholdExceeded: {
        "currentUsage": {"type": "number"},
        "threshold": {"type": "number"},
        "estimatedCost": {"type": ["number", "null"], "description": "Null where the quota has no price."},
        "percent": {"type": "number", "description": "The step that was reached: 80 warns, 100 alerts."},
    }
}


def json_schema(type: Type) -> dict[str, Any]:
    """The schema of a whole record of this type, with its data. Further fields may come with a later version."""
    data = DATA[type]
    schema = _schema_of(Notification)
    inner = _schema_of(data)
    for field, written in _WRITTEN.get(data, {}).items():
        inner["properties"][field] = dict(written)
    schema["description"] = "One record of meterline.notifications, and the body of a webhook."
    schema["properties"]["type"] = {"const": type.value}
    schema["properties"]["data"] = inner
    schema["properties"]["id"]["description"] = "The same for every repeat of the same: the webhook-id."
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": type.value, **schema}


def file_name(type: Type) -> str:
    return f"{type.value}.schema.json"


def text(type: Type) -> str:
    """The content of the file."""
    return json.dumps(json_schema(type), indent=2) + "\n"


def _schema_of(struct: type[Struct]) -> dict[str, Any]:
    (_,), components = msgspec.json.schema_components([struct], ref_template="#/$defs/{name}")
    found = dict(components[struct.__name__])
    found.pop("title")
    copy: dict[str, Any] = json.loads(json.dumps(found))
    copy["description"] = " ".join(str(found.get("description", "")).replace("``", "").split())
    for field in msgspec.structs.fields(struct):
        if field.type is datetime:
            copy["properties"][field.encode_name]["format"] = "date-time"
    return copy


def main(folder: str) -> None:
    for type in Type:
        (Path(folder) / file_name(type)).write_text(text(type))


if __name__ == "__main__":
    main(sys.argv[1])
