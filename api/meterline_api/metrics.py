"""The API's Prometheus metrics, all of them."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call]

REQUESTS = Counter("meterline_api_requests", "Requests answered, by path and status.", ["path", "status"])
SECONDS = Histogram(
    "meterline_api_request_seconds",
    "Time from a request's headers to its answer, by path.",
    ["path"],
    buckets=(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
EVENTS = Counter(
    "meterline_api_events",
    "Events received, by outcome: accepted (Kafka holds it), invalid, refused (no quota left), or unknown (no answer).",
    ["outcome"],
)
LAG = Gauge("meterline_api_group_lag", "Records that a consumer group has not committed yet.", ["group"])
READY = Gauge("meterline_api_ready", "1 while events are taken, else 0.")
STORAGE_READINGS = Counter(
    "meterline_api_storage_readings",
    "Tenants whose storage was looked at, by outcome: measured (a reading was counted), or failed.",
    ["outcome"],
)
STORAGE_RUNS = Counter(
    "meterline_api_storage_runs",
    "Scheduled measures of storage, by outcome: done, partial (some tenants failed), or failed (all is tried again).",
    ["outcome"],
)
STORAGE_BYTES = Gauge("meterline_api_storage_bytes", "What all tenants stored at the last measure.")
STORAGE_LAST = Gauge(
    "meterline_api_storage_last_seconds", "For which instant storage was last measured on schedule, since 1970."
)
CALLS = Counter(
    "meterline_api_tracked_calls", "Requests of callers that were counted as their usage, or lost.", ["outcome"]
)
RECORDS = Gauge("meterline_usage_records", "Usage events that count, since the installation began.")
TENANTS = Gauge("meterline_active_tenants", "Tenants with usage in this month (UTC).")
INVOICES = Gauge(
    "meterline_billing_invoices",
    "Documents that were closed, by currency and kind: invoice or credit_note.",
    ["currency", "kind"],
)
LEFT_OPEN = Gauge("meterline_billing_left_open", "Tenants whose period the last close could not close.")
PUSHES = Gauge(
    "meterline_billing_pushes",
    "Days of the last 35 that Stripe was told, by what became of them: delivered, refused, or open (no answer yet).",
    ["state"],
)
RUNS = Gauge("meterline_billing_runs", "Runs of billing's jobs, by job and how they ended.", ["job", "state"])
RUN_LAST = Gauge("meterline_billing_run_last_seconds", "When a job was last done to its end, since 1970.", ["job"])
