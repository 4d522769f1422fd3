"""Lines to ``usage.events`` as they are, each answered by Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from meterline.ingest import Ingest
from meterline_schemas.errors import UnavailableError
from meterline_schemas.settings import KafkaSettings
from meterline_schemas.topics import EVENTS

_REACH_SECONDS: Final = 30.0
_LOOK_SECONDS: Final = 0.05

TenantLine = tuple[str, bytes]  # whose event a line is, and its bytes in UTF-8


class Sending:
    """A connection that sends; for one event loop. ``timeout``: seconds after which an answer is given up."""

    def __init__(self, kafka: KafkaSettings, timeout: float) -> None:
        self._ingest = Ingest(kafka.client(), kafka.topic(EVENTS), timeout=timeout)

    async def reach(self) -> None:
        """Wait for Kafka.

        Raises:
            UnavailableError: it does not answer, or has no such topic.
        """
        deadline = asyncio.get_running_loop().time() + _REACH_SECONDS
        while not self._ingest.partitions:
            if asyncio.get_running_loop().time() > deadline:
                raise UnavailableError(self._ingest.trouble)
            await asyncio.sleep(_LOOK_SECONDS)

    async def send(self, lines: Sequence[TenantLine]) -> int:
        """How many of the lines Kafka acknowledged. Each goes to the partition of its tenant.

        Raises:
            UnavailableError: none was sent.
        """
        flat = [(tenant, line.decode(), len(line)) for tenant, line in lines if b"\n" not in line]
        answers = await self._ingest.send(flat) if flat else []
        for tenant, line in lines:
            if b"\n" in line:  # an event over several lines is one only in a record of its own
                answers += await self._ingest.send([(tenant, line.decode(), len(line))])
        return sum(answers)

    @property
    def trouble(self) -> str:
        return self._ingest.trouble

    async def close(self) -> None:
        await self._ingest.close()
