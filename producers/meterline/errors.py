"""Errors of the SDK. Broker problems are not among them: they are counted and reported, never raised into the app.

MeterlineError (meterline_schemas.errors)
├── ConfigurationError      how to reach Meterline is missing or wrong: raised when the producer is made
├── BufferFullError         no room, and the app asked to be told: see ``Limits.when_full``
└── InvalidUsageError       what was passed to ``track`` can never count: also a ValueError
"""

from __future__ import annotations

from meterline_schemas.errors import MeterlineError


class InvalidUsageError(MeterlineError, ValueError):
    """A value that can never count: an empty tenant, a quantity with ten decimals, a naive timestamp."""


class BufferFullError(MeterlineError):
    """The event was not taken: there is no room for it."""
