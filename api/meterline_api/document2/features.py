"""The document's features and our metrics: the one table of names. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from meterline_schemas.catalog import Metric

ALIASES: Final[Mapping[str, str]] = {
    "ocr": "ocr_scan",
    "ocr_scans": "ocr_scan",
    "api_calls": "api_call",
    "storage": "storage_gb",
    "ai_classifications": "ai_classification",
    "email": "email_sent",
    "emails": "email_sent",
    "bank_syncs": "bank_sync",
    "sms": "sms_sent",
    "sms_message": "sms_sent",
    "sms_messages": "sms_sent",
    "pdf_exports": "pdf_export",
    "webhook": "webhook_sent",
    "webhooks": "webhook_sent",
    "custom_reports": "custom_report",
}
"""Names of a feature, in lower case, that are not the key of its metric. Every other name is one, in any case."""


def name(metric: Metric) -> str:
    """A feature's name as the document writes it: ``OCR_SCAN``."""
    return metric.key.upper()


def display_name(metric: Metric) -> str:
    return metric.name or metric.key.replace("_", " ").capitalize()
