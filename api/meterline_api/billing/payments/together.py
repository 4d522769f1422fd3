"""Things that come one by one and are written many at a time: a transaction for each would be too slow."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

Thing = TypeVar("Thing")
Result = TypeVar("Result")

_MOST: Final = 500


class Together(Generic[Thing, Result]):
    """``do`` is given what waits, and gives a result for each. What it raises, all of them raise. For one loop."""

    def __init__(self, do: Callable[[Sequence[Thing]], Awaitable[Sequence[Result]]]) -> None:
        self._do = do
        self._waiting: list[tuple[Thing, asyncio.Future[Result]]] = []
        self._task: asyncio.Task[None] | None = None

    async def put(self, thing: Thing) -> Result:
        """The result for it, once it is done."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((thing, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
            try:
                results = await self._do([thing for thing, _future in batch])
            except Exception as error:
                for _thing, future in batch:
                    if not future.done():  # whoever waited may have gone
                        future.set_exception(error)
            else:
                for (_thing, future), result in zip(batch, results, strict=True):
                    if not future.done():
                        future.set_result(result)
