"""The document's five metrics: one in requests, many in answers. Their keys are those that it tracks by. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class Named(NamedTuple):
    plural: str
    title: str
    description: str


METRICS: Final[Mapping[str, Named]] = {
    "order": Named("orders", "Orders", "Per order created and processed"),
    "invoice": Named("invoices", "Invoices", "Per invoice generated"),
    "storage": Named("storage", "Storage", "OMA files, images, documents, backups"),
    "api_call": Named("apiCalls", "API Calls", "Public API usage (developer platform)"),
    "ai_job": Named("aiJobs", "AI Jobs", "AI forecasting, anomaly detection, recommendations"),
}
