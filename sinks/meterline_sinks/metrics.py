"""What the sink reports to Prometheus, each with its meaning."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

ROWS: Final = Counter(
    "meterline_sink_rows_total", "Rows that ClickHouse has taken, repeated writes included.", ["table"]
)
BYTES: Final = Counter("meterline_sink_bytes_total", "Bytes of JSON that ClickHouse has taken.", ["table"])
INSERT_SECONDS: Final = Histogram(
    "meterline_sink_insert_seconds",
    "Time of an insert that succeeded.",
    ["table"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
LATE_CELLS: Final = Counter(
    "meterline_sink_late_hours_total", "Hours of a tenant and metric whose late events were added up again."
)
LATE_SECONDS: Final = Histogram(
    "meterline_sink_late_totals_seconds",
    "Time to add up the late events of the hours that a batch touched.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
FAILURES: Final = Counter(
    "meterline_sink_insert_failures_total",
    "Inserts that failed: `unavailable` is tried again until it succeeds, `refused` needs somebody.",
    ["kind"],
)
PENDING_BYTES: Final = Gauge("meterline_sink_pending_bytes", "Bytes that are read and not yet written.")
PAUSED: Final = Gauge("meterline_sink_paused", "1 while reading waits because ClickHouse does not keep up or is away.")
LAG: Final = Gauge(
    "meterline_sink_lag", "Offsets between what is committed and the end of the log.", ["topic", "partition"]
)
LAST_COMMIT: Final = Gauge("meterline_sink_last_commit_timestamp_seconds", "When offsets were last committed.")
