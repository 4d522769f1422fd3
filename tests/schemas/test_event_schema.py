"""The published JSON Schema of an event, in its three forms: checked in, generated, and as the API's model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from meterline_api.models import UsageEvent
from meterline_schemas.event import json_schema

PUBLISHED = Path(__file__).parents[2] / "schemas" / "event.schema.json"


def test_the_published_schema_is_the_generated_one() -> None:
    expected = json.dumps(json_schema(), indent=2) + "\n"
    assert PUBLISHED.read_text() == expected, (
        "schemas/event.schema.json is not what meterline_schemas.event.json_schema() gives: if the event was meant to "
        "change, write json.dumps(json_schema(), indent=2) and a newline to it"
    )


def test_the_model_of_the_api_says_the_same() -> None:
    assert essence(UsageEvent.model_json_schema()) == essence(json_schema())


def essence(schema: Any) -> Any:
    """A schema without what has no meaning to a validator, and without an order where there is none."""
    if isinstance(schema, list):
        return sorted((essence(item) for item in schema), key=lambda item: json.dumps(item, sort_keys=True))
    if not isinstance(schema, dict):
        return schema
    return {
        key: {name: essence(item) for name, item in value.items()} if key == "properties" else essence(value)
        for key, value in schema.items()
        if key not in ("$schema", "title", "description")
    }
