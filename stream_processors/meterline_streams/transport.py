"""Faust's Kafka transport with one shortcut: a record whose queue has room is handed over at once.

Faust hands each record over in a task of its own, with three more that watch for a stop: a fifth of the worker's time,
nearly always for a step that waits for nothing. Here the hand-over is begun first; only if it has to wait, because the
queue is full, does Faust's own waiting go on from there.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Coroutine, Generator
from typing import Any

from faust.transport.drivers import aiokafka
from mode.services import WaitResults


class Consumer(aiokafka.Consumer):  # type: ignore[misc]
    async def wait_first(self, *waiting: Any, timeout: Any = None) -> Any:
        """Return once the first of ``waiting`` is done, which is where Faust hands a record over."""
        first, *others = waiting
        if inspect.iscoroutine(first) and not self.suspend_flow.is_set():
            try:
                waits_for = first.send(None)
            except StopIteration as done:
                for other in others:
                    other.close()
                return WaitResults([first], [done.value], False)
            first = _rest_of(first, waits_for)
        return await super().wait_first(first, *others, timeout=timeout)


class Transport(aiokafka.Transport):  # type: ignore[misc]
    Consumer = Consumer


async def _rest_of(begun: Coroutine[Any, Any, Any], waits_for: Any) -> Any:
    return await _resumed(begun, waits_for)


@types.coroutine
def _resumed(begun: Coroutine[Any, Any, Any], waits_for: Any) -> Generator[Any, Any, Any]:
    """Go on with a coroutine that was begun by hand and waits for a future."""
    while True:
        try:
            yield waits_for
        except BaseException as error:
            failure: BaseException | None = error
        else:
            failure = None
        try:
            waits_for = begun.send(None) if failure is None else begun.throw(failure)
        except StopIteration as done:
            return done.value
