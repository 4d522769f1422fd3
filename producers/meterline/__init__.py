"""The SDK: ``from meterline import UsageProducer``. Needs confluent-kafka and msgspec, nothing else."""

from meterline.buffer import Stats
from meterline.errors import BufferFullError, InvalidUsageError
from meterline.limits import Limits
from meterline.many import Outcome
from meterline.producer import UsageProducer
from meterline.reports import Problem
from meterline.spool import Spool
from meterline.tracker import Tracker, default_producer
from meterline_schemas.errors import ConfigurationError, MeterlineError

__all__ = [
    "BufferFullError",
    "ConfigurationError",
    "InvalidUsageError",
    "Limits",
    "MeterlineError",
    "Outcome",
    "Problem",
    "Spool",
    "Stats",
    "Tracker",
    "UsageProducer",
    "default_producer",
]
