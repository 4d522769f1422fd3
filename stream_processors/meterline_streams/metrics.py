"""Prometheus metrics of a stream worker."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

RECORDS = Counter("meterline_stream_records", "Records of usage.events judged and committed")
CHECKPOINTS = Histogram(
    "meterline_stream_checkpoint_seconds",
    "Time from taking the pending records of a partition to the commit of their transaction",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
WATERMARK = Gauge("meterline_stream_watermark", "Next offset of usage.events to be judged", ["partition"])
GAPS = Counter("meterline_stream_gaps", "Times that records were skipped by the consumer and read again")
