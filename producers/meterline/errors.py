"""Errors of the SDK. Broker problems are not among them: they are counted and reported, never raised into the app.

MeterlineError (meterline_schemas.errors)
├── ConfigurationError      how to reach Kafka is missing or wrong: raised when the producer is made
└── InvalidUsageError       what was passed to ``track`` can never count: also a ValueError
"""

from __future__ import annotations

from meterline_schemas.errors import MeterlineError


class InvalidUsageError(MeterlineError, ValueError):
    """A value that can never count: an empty tenant, a quantity with ten decimals, a naive timestamp."""
