"""Whoever waits until it can be read what they sent shares a look that began after they sent it."""

from __future__ import annotations

import asyncio
import threading

from meterline_api.documents.settling import Settling
from meterline_schemas.errors import UnavailableError


class Looks:
    """Looks that last until they are let go; what each saw is what was sent when it began."""

    def __init__(self) -> None:
        self.sent = 0
        self.saw: list[int] = []
        self.go = threading.Semaphore(0)
        self.answer: bool | Exception = True

    def passed_on(self, _seconds: float) -> bool:
        self.saw.append(self.sent)
        self.go.acquire(timeout=10)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def until(condition: list[int], count: int) -> None:
    while len(condition) < count:
        await asyncio.sleep(0.001)


def test_who_comes_during_a_look_shares_the_next_one() -> None:
    looks = Looks()

    async def run() -> list[bool]:
        settling = Settling(looks.passed_on, 10)

        async def send() -> bool:
            looks.sent += 1
            return await settling.wait()

        first = asyncio.create_task(send())
        await until(looks.saw, 1)
        others = [asyncio.create_task(send()) for _ in range(50)]
        await asyncio.sleep(0)
        looks.go.release()
        looks.go.release()
        found = await asyncio.gather(first, *others)
        last = asyncio.create_task(send())
        looks.go.release()
        return [*found, await last]

    assert all(asyncio.run(run()))
    assert looks.saw == [1, 51, 52]


def test_a_pipeline_that_is_behind_makes_nobody_wait_again() -> None:
    for answer in (False, UnavailableError("away")):
        looks = Looks()
        looks.answer = answer

        async def run(looks: Looks = looks) -> list[bool]:
            settling = Settling(looks.passed_on, 10)
            looks.go.release()
            return [await settling.wait() for _ in range(5)]

        assert asyncio.run(run()) == [False] * 5
        assert len(looks.saw) == 1


def test_nobody_waits_longer_than_it_may_take_and_not_at_all_for_0() -> None:
    looks = Looks()

    async def run() -> bool:
        found = await Settling(looks.passed_on, 0.05).wait()
        looks.go.release()
        return found

    assert asyncio.run(run()) is False
    assert asyncio.run(Settling(looks.passed_on, 0).wait()) is False
    assert len(looks.saw) == 1
