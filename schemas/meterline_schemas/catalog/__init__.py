"""What is configured: records of the compacted ``meterline.config`` topic, and a copy of them in memory."""

from meterline_schemas.catalog.api_key import ApiKey
from meterline_schemas.catalog.book import Book
from meterline_schemas.catalog.entry import Entry, FieldProblem, Key, RefusedError, read_entry
from meterline_schemas.catalog.metric import Aggregation, Metric
from meterline_schemas.catalog.partitions import PARTITION_COUNT_KEY, PartitionCount
from meterline_schemas.catalog.plan import Charge, Measure, Plan, PlanVersion, Span, TenantPlan
from meterline_schemas.catalog.quota import Quota
from meterline_schemas.catalog.stripe_meter import IncludedMode, StripeMeter
from meterline_schemas.catalog.tenant import Billing, Tenant
from meterline_schemas.catalog.threshold import Action, Threshold
from meterline_schemas.catalog.webhook import Webhook

__all__ = [
    "PARTITION_COUNT_KEY",
    "Action",
    "Aggregation",
    "ApiKey",
    "Billing",
    "Book",
    "Charge",
    "Entry",
    "FieldProblem",
    "IncludedMode",
    "Key",
    "Measure",
    "Metric",
    "PartitionCount",
    "Plan",
    "PlanVersion",
    "Quota",
    "RefusedError",
    "Span",
    "StripeMeter",
    "Tenant",
    "TenantPlan",
    "Threshold",
    "Webhook",
    "read_entry",
]
