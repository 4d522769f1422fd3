"""What every producer can do by what it must do: many events, durations, and everything that may be awaited."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from meterline.duration import Usage
from meterline.encoding import Quantity
from meterline.many import Outcome, track_many
from meterline.units import Unit

if TYPE_CHECKING:
    from typing_extensions import Self


class Producing(ABC):
    """Shared by ``UsageProducer`` and the producer of ``meterline.testing``."""

    @abstractmethod
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
    ) -> str:
        """Take one event and return its id."""

    @abstractmethod
    def flush(self, timeout: float = 10.0) -> int:
        """How many events still wait."""

    @abstractmethod
    def close(self, timeout: float = 10.0) -> int:
        """How many events were not acknowledged."""

    def track_many(
        self,
        events: Iterable[Mapping[str, Any]],
        *,
        tenant_id: str | None = None,
        metric: str | None = None,
    ) -> list[Outcome]:
        """Take many events; an outcome for each, in order. One that cannot be taken does not hold up the others.

        Each is a mapping of the arguments of ``track``; ``tenant_id`` and ``metric`` are for those without their own.
        """
        return track_many(self.track, events, tenant_id, metric)

    def usage(
        self,
        tenant_id: str,
        metric: str,
        *,
        unit: Unit = "seconds",
        subject: str | None = None,
        properties: Mapping[str, Any] | None = None,
        id: str | None = None,
        when: Literal["success", "always"] = "success",
    ) -> Usage:
        """``with producer.usage("acme", "gpu_seconds"):`` tracks how long its body took, in ``unit``s.

        Also ``async with``. What it gives (``as use``) takes another quantity or more properties. A body that raises is
        not tracked unless ``when="always"``; nothing about tracking is ever raised into it.
        """
        return Usage(self, tenant_id, metric, unit=unit, subject=subject, properties=properties, id=id, when=when)

    async def aflush(self, timeout: float = 10.0) -> int:
        """``flush`` without holding up the event loop."""
        import asyncio

        return await asyncio.to_thread(self.flush, timeout)

    async def aclose(self, timeout: float = 10.0) -> int:
        """``close`` without holding up the event loop."""
        import asyncio

        return await asyncio.to_thread(self.close, timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
