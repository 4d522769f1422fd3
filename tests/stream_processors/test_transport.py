"""A coroutine that was begun by hand goes on in a task as if it had been begun there."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from meterline_streams.transport import _rest_of


def _go_on(begun: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    waits_for = begun.send(None)
    return asyncio.create_task(_rest_of(begun, waits_for))


def test_it_waits_as_often_as_it_must_and_returns() -> None:
    async def run() -> None:
        queue: asyncio.Queue[int] = asyncio.Queue(maxsize=1)
        queue.put_nowait(0)

        async def put_three() -> str:
            for number in (1, 2, 3):
                await queue.put(number)
            return "done"

        task = _go_on(put_three())
        assert [await queue.get() for _ in range(4)] == [0, 1, 2, 3]
        assert await task == "done"

    asyncio.run(run())


def test_what_it_waits_for_may_fail_and_so_may_it() -> None:
    async def run() -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def fails() -> None:
            try:
                await future
            except KeyError as error:
                raise ValueError("seen") from error

        task = _go_on(fails())
        future.set_exception(KeyError())
        with pytest.raises(ValueError, match="seen"):
            await task

    asyncio.run(run())


def test_it_is_cancelled_where_it_waits() -> None:
    async def run() -> None:
        seen = []

        async def waits() -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise

        task = _go_on(waits())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert seen == ["cancelled"]

    asyncio.run(run())
