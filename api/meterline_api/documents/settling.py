"""Waiting until what was just sent can be read back, for the documents whose examples do so in the next line."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from meterline_schemas.errors import UnavailableError

_REST: Final = 5.0  # seconds


class Settling:
    """``wait`` returns when events that Kafka holds already are judged and written, or after ``seconds`` all the same.

    ``passed_on`` says whether they are, within some seconds; it is asked in a thread. However many wait, one thread
    is busy with it: who comes while it looks shares the next look with all others that do. Where it took too long
    nobody waits for a while: a pipeline that is behind must not make its callers slow.
    """

    def __init__(self, passed_on: Callable[[float], bool], seconds: float) -> None:
        self._passed_on = passed_on
        self._seconds = seconds
        self._now: asyncio.Task[bool] | None = None
        self._next: asyncio.Task[bool] | None = None
        self._rest_until = 0.0

    async def wait(self) -> bool:
        """Whether everything that was sent before can be read."""
        if not self._seconds or time.monotonic() < self._rest_until:
            return False
        if self._next is None:
            self._next = asyncio.create_task(self._look(self._now))
        try:
            return await asyncio.wait_for(asyncio.shield(self._next), self._seconds)
        except TimeoutError:
            return False

    async def _look(self, before: asyncio.Task[bool] | None) -> bool:
        if before is not None:  # it began before the events of this one were sent
            await asyncio.wait({before})
        self._now, self._next = self._next, None
        try:
            found = await asyncio.to_thread(self._passed_on, self._seconds)
        except UnavailableError:
            found = False
        if not found:
            self._rest_until = time.monotonic() + _REST
        return found
