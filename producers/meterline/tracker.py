"""What decorators and middleware count with: anything that tracks, by default the process's one producer."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from meterline.encoding import Quantity

if TYPE_CHECKING:
    from meterline.producer import UsageProducer

_making = threading.Lock()
_default: UsageProducer | None = None


class Tracker(Protocol):
    """A ``UsageProducer``, or the one of ``meterline.testing``."""

    def track(
        self,
        tenant_id: str,
        metric: str,
        quantity: Quantity = 1,
        *,
        subject: str | None = None,
        properties: Mapping[str, Any] | None = None,
        timestamp: datetime | None = None,
        id: str | None = None,
    ) -> str: ...


def default_producer() -> UsageProducer:
    """The process's one producer, made at first use from the ``METERLINE_`` variables.

    Raises:
        ConfigurationError: how to reach Meterline is missing or wrong.
    """
    global _default
    with _making:
        if _default is None:
            from meterline.producer import UsageProducer  # needs librdkafka, which takes most of the import

            _default = UsageProducer()
        return _default
