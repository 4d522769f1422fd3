"""What is configured: records of the compacted ``meterline.config`` topic, and a copy of them in memory."""

from meterline_schemas.catalog.api_key import ApiKey
from meterline_schemas.catalog.book import Book
from meterline_schemas.catalog.entry import Entry, FieldProblem, Key, RefusedError, read_entry
from meterline_schemas.catalog.metric import Aggregation, Metric
from meterline_schemas.catalog.partitions import PARTITION_COUNT_KEY, PartitionCount
from meterline_schemas.catalog.quota import Quota
from meterline_schemas.catalog.tenant import Tenant
from meterline_schemas.catalog.threshold import Action, Threshold
from meterline_schemas.catalog.webhook import Webhook

__all__ = [
    "PARTITION_COUNT_KEY",
    "Action",
    "Aggregation",
    "ApiKey",
    "Book",
    "Entry",
    "FieldProblem",
    "Key",
    "Metric",
    "PartitionCount",
    "Quota",
    "RefusedError",
    "Tenant",
    "Threshold",
    "Webhook",
    "read_entry",
]
