"""The SDK: ``from meterline import UsageProducer``. Needs confluent-kafka and msgspec, nothing else."""

from meterline.buffer import Stats
from meterline.errors import InvalidUsageError
from meterline.limits import Limits
from meterline.producer import UsageProducer
from meterline.reports import Problem
from meterline_schemas.errors import ConfigurationError, MeterlineError

__all__ = [
    "ConfigurationError",
    "InvalidUsageError",
    "Limits",
    "MeterlineError",
    "Problem",
    "Stats",
    "UsageProducer",
]
