"""What the notifier reports to Prometheus, each with its meaning."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

ATTEMPTS: Final = Counter(
    "meterline_notifier_attempts_total",
    "Attempts by the kind of target (`webhook`, `email`) and what came of them (`delivered`, `waiting`, `failed`).",
    ["kind", "outcome"],
)
DELAY: Final = Histogram(
    "meterline_notifier_delay_seconds",
    "From a notification's timestamp until a target has taken it, at the first attempt.",
    ["kind"],
    buckets=(0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300),
)
OPEN: Final = Gauge("meterline_notifier_open_deliveries", "Deliveries that are neither delivered nor failed.")
INVALID: Final = Counter(
    "meterline_notifier_invalid_records_total", "Records that are no notification, left out and named in the log."
)
LAG: Final = Gauge("meterline_notifier_lag", "Offsets between what is committed and the end of the log.", ["partition"])
