"""``with producer.usage("acme", "gpu_seconds"):``: how long a block took, as usage."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime, timezone
from decimal import Decimal
from types import TracebackType
from typing import Any, Final, Literal

from meterline.counting import USAGE_ERRORS, check_when
from meterline.encoding import Quantity, quantity_text
from meterline.mishaps import Mishaps
from meterline.tracker import Tracker
from meterline.units import Unit, check_unit, in_unit
from meterline_schemas.quantity import exact_nano, format_nano

_mishaps: Final = Mishaps("usage of blocks was not counted", USAGE_ERRORS)


class Usage:
    """Counts its block once, when it ends: how long it took in ``unit``, or what ``quantity`` or ``add`` say instead.

    For ``with`` and ``async with``, one block each. A block that raises counts only with ``when="always"``; one that
    ends because its generator is closed has not failed. ``subject``, ``properties`` and ``id`` may be set within the
    block. The event's time is the end of the block. What cannot be counted is counted in ``usage_errors()`` and
    logged; the block never notices.

    Raises:
        ConfigurationError: no such ``unit`` or ``when``.
    """

    def __init__(
        self,
        tracker: Tracker,
        tenant_id: str,
        metric: str,
        *,
        unit: Unit = "seconds",
        subject: str | None = None,
        properties: Mapping[str, Any] | None = None,
        id: str | None = None,
        when: Literal["success", "always"] = "success",
    ) -> None:
        check_unit(unit)
        check_when(when)
        self._tracker = tracker
        self._tenant_id = tenant_id
        self._metric = metric
        self._unit: Unit = unit
        self._when = when
        self._started = time.monotonic_ns()
        self._parts: list[Quantity] = []
        self.subject = subject
        self.properties: dict[str, Any] = dict(properties or {})
        self.id = id

    @property
    def quantity(self) -> Decimal | None:
        """What counts instead of the duration; None while that counts.

        Raises:
            InvalidUsageError: what was set or added can never count.
            TypeError: something was of the wrong type, such as a float.
        """
        return Decimal(self._sum()) if self._parts else None

    @quantity.setter
    def quantity(self, quantity: Quantity) -> None:
        self._parts = [quantity]

    def add(self, quantity: Quantity = 1) -> None:
        """Count this much more, instead of the duration. A value that can never count shows at the end of the block."""
        self._parts.append(quantity)

    def _sum(self) -> str:
        return format_nano(sum(exact_nano(quantity_text(part)) for part in self._parts))

    def __enter__(self) -> Usage:
        self._started = time.monotonic_ns()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ended = time.monotonic_ns()
        if self._when == "success" and kind is not None and not issubclass(kind, GeneratorExit):
            return
        try:
            self._tracker.track(
                self._tenant_id,
                self._metric,
                self._sum() if self._parts else in_unit(ended - self._started, self._unit),
                subject=self.subject,
                properties=self.properties,
                timestamp=datetime.now(timezone.utc),
                id=self.id,
            )
        except Exception as problem:
            _mishaps.add(self._metric, problem)

    async def __aenter__(self) -> Usage:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)
