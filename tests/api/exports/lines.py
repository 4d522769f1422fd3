"""What tests of exports share: usage with nasty texts in ClickHouse, and an independent count of it."""

from __future__ import annotations

import csv
import io
import json
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from typing import Any, Final

import pyarrow as pa
from pyarrow import parquet

START: Final = datetime(2026, 10, 29, 22, tzinfo=UTC)
END: Final = START + timedelta(hours=60)
FORMATS: Final = ("csv", "ndjson", "json", "parquet")
NASTY: Final = (
    "",
    "plain",
    'say "hi"',
    "a,b",
    "two\r\nlines",
    "\n",
    "\r",
    '"',
    '""',
    "=1+2",
    "+cmd|' /C calc'!A0",
    "-1",
    "@x",
    " padded ",
    "tab\tback\\slash\\n",
    "nul\x00in",
    "\x01\x1f\x7f",
    "naïve 名 😀 \u2028 \ufeff",
    "'; DROP TABLE x --",
    "{braces:String}",
    "%s %(x)s",
    "null",
    "NaN",
)


@dataclass(frozen=True)
class Line:
    """An accepted event as the sink writes it."""

    tenant_id: str
    metric: str
    timestamp: datetime
    id: str
    quantity: Decimal
    subject: str = ""
    source: str = ""
    properties: dict[str, str] = field(default_factory=dict, hash=False)
    late: bool = False
    partition: int = 0
    offset: int = 0
    line: int = 0

    @property
    def received_at(self) -> datetime:
        return END + timedelta(milliseconds=self.offset)

    def row(self) -> dict[str, Any]:
        """As exports give it, as Python has it."""
        return {
            "tenant_id": self.tenant_id,
            "metric": self.metric,
            "timestamp": self.timestamp,
            "id": self.id,
            "quantity": self.quantity,
            "subject": self.subject,
            "source": self.source,
            "properties": self.properties,
            "late": self.late,
            "received_at": self.received_at,
            "kafka_partition": self.partition,
            "kafka_offset": self.offset,
            "kafka_line": self.line,
        }

    def written(self) -> bytes:
        """As the sink writes it."""
        fields = self.row() | {
            "timestamp": instant(self.timestamp),
            "received_at": instant(self.received_at),
            "quantity": format(self.quantity, "f"),
            "late": int(self.late),
        }
        return json.dumps(fields).encode()


def lines(count: int = 600) -> list[Line]:
    """Every nasty text in every place that takes text; metrics ``calls`` and ``storage``."""
    chance = random.Random(11)
    made = []
    for offset in range(count):
        text = NASTY[offset % len(NASTY)]
        made.append(
            Line(
                tenant_id=chance.choice(["acme", "beta", "acme2", f"t{text}"]),
                metric=chance.choice(["calls", "storage"]),
                timestamp=START + timedelta(milliseconds=chance.randrange(60 * 3_600_000)),
                id=f"{text}{offset}",
                quantity=chance.choice(
                    [
                        Decimal(chance.randrange(-(10**12), 10**12)) / 10**9,
                        Decimal("999999999999999999.999999999"),
                        Decimal("-999999999999999999.999999999"),
                        Decimal("0.000000001"),
                        Decimal(0),
                        Decimal(100),
                    ]
                ),
                subject=text,
                source=text,
                properties={text or "k": text, "region": "eu"},
                late=chance.random() < 0.2,
                partition=offset % 3,
                offset=offset,
                line=offset % 5,
            )
        )
    return made


def totals(found: Iterable[Line]) -> list[bytes]:
    """Records of usage.totals: on-time events only, by partition."""
    hours: dict[tuple[str, str, datetime, int], list[Line]] = defaultdict(list)
    for one in found:
        if not one.late:
            hour = one.timestamp.replace(minute=0, second=0, microsecond=0)
            hours[one.tenant_id, one.metric, hour, one.partition].append(one)
    written = []
    for (tenant_id, metric, hour, partition), group in hours.items():
        count, amount, least, greatest, last = fold(group)
        fields = {
            "tenant_id": tenant_id,
            "metric": metric,
            "hour": instant(hour),
            "kafka_partition": partition,
            "version": max(one.offset for one in group) + 1,
            "count": count,
            "sum": format(amount, "f"),
            "min": format(least, "f"),
            "max": format(greatest, "f"),
            "last": format(last.quantity, "f"),
            "last_timestamp": instant(last.timestamp),
            "last_id": last.id,
        }
        written.append(json.dumps(fields).encode())
    return written


def fold(group: Sequence[Line]) -> tuple[int, Decimal, Decimal, Decimal, Line]:
    with localcontext() as context:
        context.prec = 100
        quantities = [one.quantity for one in group]
        last = max(group, key=lambda one: (one.timestamp, one.id.encode()))
        return len(group), sum(quantities, Decimal(0)), min(quantities), max(quantities), last


def instant(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def read(form: str, body: bytes) -> list[dict[str, Any]]:
    """Rows as text, numbers and whatever else the format holds."""
    match form:
        case "csv":
            return list(csv.DictReader(io.StringIO(body.decode(), newline=""), strict=True))
        case "ndjson":
            assert body.endswith(b"\n") or not body
            return [json.loads(line) for line in body.split(b"\n")[:-1]]
        case "json":
            rows: list[dict[str, Any]] = json.loads(body)["data"]
            return rows
        case _:
            found: list[dict[str, Any]] = parquet.read_table(pa.BufferReader(body)).to_pylist()
            return found


def typed(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rows of any format as ``Line.row`` has them."""
    for row in rows:
        yield {name: _value(name, value) for name, value in row.items()}


def _value(name: str, value: Any) -> Any:
    match name:
        case "timestamp" | "received_at" | "from" | "to" | "last_timestamp":
            return datetime.fromisoformat(value) if isinstance(value, str) else value
        case "quantity" | "sum" | "min" | "max" | "last" | "value":
            return None if value in ("", None) else Decimal(value)
        case "kafka_partition" | "kafka_offset" | "kafka_line" | "count":
            return int(value)
        case "late":
            return value in (True, "true")
        case "properties":
            return json.loads(value) if isinstance(value, str) else value
        case _:
            return value


def in_order(found: list[Line]) -> list[dict[str, Any]]:
    ordered = sorted(found, key=lambda one: (one.tenant_id.encode(), one.metric, one.timestamp, one.id.encode()))
    return [one.row() for one in ordered]
