"""The SDK: ``from meterline import UsageProducer``. Needs confluent-kafka and msgspec, nothing else."""

from meterline.buffer import Stats
from meterline.decorator import track_usage, usage_errors
from meterline.duration import Usage
from meterline.errors import BufferFullError, InvalidUsageError
from meterline.extractors import arg, constant, elapsed, result, yielded
from meterline.limits import Limits
from meterline.many import Outcome
from meterline.producer import UsageProducer
from meterline.quota import QuotaExceededError, QuotaUnavailableError
from meterline.quota_check import QuotaCheck
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
    "QuotaCheck",
    "QuotaExceededError",
    "QuotaUnavailableError",
    "Spool",
    "Stats",
    "Tracker",
    "Usage",
    "UsageProducer",
    "arg",
    "constant",
    "default_producer",
    "elapsed",
    "result",
    "track_usage",
    "usage_errors",
    "yielded",
]
