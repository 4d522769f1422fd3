"""Rows of events written without a sink, with the totals of late ones that it keeps."""

from __future__ import annotations

from meterline_sinks.clickhouse import ClickHouse
from meterline_sinks.late import late_cells
from meterline_sinks.late_totals import LateTotals


def insert_events(edge: ClickHouse, body: bytes) -> None:
    """JSON lines of ``usage.accepted``, as a sink leaves them."""
    edge.insert("usage_events_raw", body)
    LateTotals(edge).add_up(late_cells(body))
