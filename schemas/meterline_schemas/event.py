"""The usage event as producers write it, and as it stands once it counts.

A Kafka record on ``usage.events`` is one or more of these as JSON, one per line (NDJSON). ``UsageEvent`` is the
form on the wire; the stream judges it and writes an ``AcceptedEvent``, whose fields are the columns of the raw
table in ClickHouse, so that everything after the judge carries the verdict and never decodes it again.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

MAX_ID: Final = 256  # characters of id, tenant_id, metric, subject and source
MAX_LINE_BYTES: Final = 256 * 1024
MAX_LINES_PER_RECORD: Final = 10_000
MAX_PROPERTIES: Final = 100
MOST_AHEAD: Final = timedelta(hours=1)
"""No setting lets a timestamp be further ahead of the time at which its record was appended."""

Name = Annotated[str, Meta(min_length=1, max_length=MAX_ID)]
Label = Annotated[str, Meta(max_length=MAX_ID)]


class UsageEvent(Struct, gc=False):
    """One event, decoded. ``quantity`` and ``properties`` stay raw JSON until the judge reads them exactly.

    ``id`` and ``timestamp`` are made once, by the producer, and never again on a retry: the pair is what makes
    any repeat, however old, count once.
    """

    id: Name
    tenant_id: Name
    metric: Name
    quantity: msgspec.Raw
    timestamp: Annotated[datetime, Meta(tz=True)]
    subject: Label | None = None
    source: Label | None = None
    properties: msgspec.Raw = msgspec.Raw()


class AcceptedEvent(Struct, gc=False, omit_defaults=True):
    """An event that counts: a record line of ``usage.accepted`` and a row of the raw table, names alike.

    ``timestamp`` is UTC cut to milliseconds, ``quantity`` a plain decimal string. ``kafka_*`` is where in
    ``usage.events`` the line was judged; ``kafka_line`` counts the non-blank lines of that record from 0.
    ``received_at`` is the broker's append time. ``late`` events are not in the stream's totals.
    """

    tenant_id: str
    metric: str
    timestamp: datetime
    id: str
    quantity: str
    kafka_partition: int
    kafka_offset: int
    kafka_line: int
    received_at: datetime
    subject: str = ""
    source: str = ""
    properties: dict[str, str] | None = None
    late: int = 0


class _Documented(Struct, forbid_unknown_fields=False, omit_defaults=True):
    """What ``UsageEvent`` means to a producer, for the published JSON Schema."""

    id: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=MAX_ID,
            description="Unique within the tenant, made once, kept on retries.",
        ),
    ]
    tenant_id: Annotated[
        str, Meta(min_length=1, max_length=MAX_ID, description="Who is billed. Also the Kafka record's key.")
    ]
    metric: Annotated[str, Meta(min_length=1, max_length=MAX_ID, description="Key of a defined metric.")]
    quantity: Annotated[
        str | int | float,
        Meta(description="Decimal, |quantity| < 10^18, at most 9 decimals; a string or a JSON number, read exactly."),
    ]
    timestamp: Annotated[datetime, Meta(tz=True, description="When it happened, RFC 3339 with offset. Cut to ms.")]
    subject: Annotated[str, Meta(max_length=MAX_ID, description="User or project below the tenant.")] | None = None
    source: Annotated[str, Meta(max_length=MAX_ID, description="The application that saw it.")] | None = None
    properties: (
        Annotated[
            dict[str, str | int | float | bool | None],
            Meta(
                max_length=MAX_PROPERTIES,
                description="Dimensions to group and filter by. Opaque ids, no PII.",
            ),
        ]
        | None
    ) = None


def json_schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of one event; checked in as ``schemas/event.schema.json``."""
    (_,), components = msgspec.json.schema_components([_Documented], ref_template="#/$defs/{name}")
    schema: dict[str, Any] = dict(components["_Documented"])
    schema["title"] = "UsageEvent"
    schema["description"] = "One line of a record on usage.events."
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
