"""The tables that can be exported: their columns in order, and the key that orders the rows. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from meterline_api.formats.table import Column, Kind


@dataclass(frozen=True)
class Table:
    """``source`` is the table or view of ClickHouse as ``u``, ``moment`` its column that ranges are about.

    ``positional``: rows are lines of Kafka and never change, so that offsets tell those of a moment from later ones.
    """

    name: str
    source: str
    moment: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    positional: bool

    @property
    def key_kinds(self) -> tuple[Kind, ...]:
        kinds = {column.name: column.kind for column in self.columns}
        return tuple(kinds[name] for name in self.key)

    @property
    def key_names(self) -> str:
        return ", ".join(self.key)


EVENTS: Final = Table(
    "events",
    "usage_events",
    "timestamp",
    (
        Column("tenant_id", Kind.TEXT),
        Column("metric", Kind.TEXT),
        Column("timestamp", Kind.INSTANT),
        Column("id", Kind.TEXT),
        Column("quantity", Kind.DECIMAL),
        Column("subject", Kind.TEXT),
        Column("source", Kind.TEXT),
        Column("properties", Kind.JSON),
        Column("late", Kind.FLAG),
        Column("received_at", Kind.INSTANT),
        Column("kafka_partition", Kind.INTEGER),
        Column("kafka_offset", Kind.INTEGER),
        Column("kafka_line", Kind.INTEGER),
    ),
    ("tenant_id", "metric", "timestamp", "id"),
    positional=True,
)
REJECTED: Final = Table(
    "rejected-events",
    "rejected_events",
    "received_at",
    (
        Column("kafka_topic", Kind.TEXT),
        Column("kafka_partition", Kind.INTEGER),
        Column("kafka_offset", Kind.INTEGER),
        Column("kafka_line", Kind.INTEGER),
        Column("received_at", Kind.INSTANT),
        Column("reason", Kind.TEXT),
        Column("detail", Kind.TEXT),
        Column("tenant_id", Kind.TEXT),
        Column("metric", Kind.TEXT),
        Column("id", Kind.TEXT),
        Column("lines", Kind.INTEGER),
        Column("raw", Kind.TEXT),
        Column("raw_encoding", Kind.TEXT),
        Column("raw_bytes", Kind.INTEGER),
        Column("raw_sha256", Kind.TEXT),
    ),
    ("kafka_topic", "kafka_partition", "kafka_offset", "kafka_line"),
    positional=True,
)
USAGE: Final = Table(
    "usage",
    "usage_parts",
    "hour",
    (
        Column("tenant_id", Kind.TEXT),
        Column("metric", Kind.TEXT),
        Column("from", Kind.INSTANT),
        Column("to", Kind.INSTANT),
        Column("aggregation", Kind.TEXT),
        Column("unit", Kind.TEXT),
        Column("value", Kind.WIDE, nullable=True),
        Column("count", Kind.INTEGER),
        Column("sum", Kind.WIDE),
        Column("min", Kind.DECIMAL),
        Column("max", Kind.DECIMAL),
        Column("last", Kind.DECIMAL),
        Column("last_timestamp", Kind.INSTANT),
        Column("last_id", Kind.TEXT),
    ),
    ("tenant_id", "metric", "from"),
    positional=False,
)
