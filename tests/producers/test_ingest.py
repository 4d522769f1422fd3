"""Ingest against a real broker: an answer for every line, in order, and never a wrong one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from meterline.encoding import line_of
from meterline.ingest import Ingest
from meterline.marks import marks
from meterline.records import Line
from meterline_schemas.errors import UnavailableError
from meterline_schemas.partitioning import partition_of
from tests.producers.reading import TOPIC, create_topic, events, records
from tests.services.kafka import Broker


def line(tenant_id: str, id: str = "") -> Line:
    text = line_of(id or marks()[0], tenant_id, "m", 1, "2026-01-01T00:00:00.000Z", None, None, None)
    return tenant_id, text, len(text)


def with_ingest(bootstrap: str, prefix: str, work: Callable[[Ingest], Awaitable[None]], timeout: float = 30.0) -> None:
    async def run() -> None:
        ingest = Ingest({"bootstrap.servers": bootstrap}, prefix + TOPIC, timeout=timeout)
        try:
            async with asyncio.timeout(60):
                while not ingest.partitions:
                    await asyncio.sleep(0.01)
                await work(ingest)
        finally:
            await ingest.close()

    asyncio.run(run())


def test_every_line_is_acknowledged_and_on_its_partition(kafka: str, prefix: str) -> None:
    create_topic(kafka, prefix, partitions=3)
    sent = [line(f"tenant-{n % 10}", f"id-{n}") for n in range(2_500)]

    async def work(ingest: Ingest) -> None:
        assert await ingest.send(sent) == [True] * 2_500

    with_ingest(kafka, prefix, work)
    assert sorted(event["id"] for event in events(kafka, prefix)) == sorted(f"id-{n}" for n in range(2_500))
    for partition, value in records(kafka, prefix):
        assert value.count(b"\n") < 1_000
        for text in value.decode().split("\n"):
            tenant_id = text.split('"tenant_id":"')[1].split('"')[0]
            assert partition_of(tenant_id, 3) == partition


def test_requests_that_come_together_share_records(kafka: str, prefix: str) -> None:
    create_topic(kafka, prefix, partitions=1)

    async def work(ingest: Ingest) -> None:
        answers = await asyncio.gather(*(ingest.send([line("t")]) for _ in range(200)))
        assert answers == [[True]] * 200

    with_ingest(kafka, prefix, work)
    assert len(events(kafka, prefix)) == 200
    assert len(records(kafka, prefix)) < 50


def test_a_request_that_is_cancelled_takes_no_other_with_it(kafka: str, prefix: str) -> None:
    create_topic(kafka, prefix, partitions=1)

    async def work(ingest: Ingest) -> None:
        first = asyncio.create_task(ingest.send([line("t")]))
        second = asyncio.create_task(ingest.send([line("t")]))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == [True]
        with pytest.raises(asyncio.CancelledError):
            await first

    with_ingest(kafka, prefix, work)
    assert len(events(kafka, prefix)) == 2


def test_a_frozen_broker_makes_outcomes_unknown_and_the_same_lines_can_be_sent_again(
    broker: Broker, prefix: str
) -> None:
    create_topic(broker.bootstrap, prefix)
    sent = [line("t", f"id-{n}") for n in range(5)]

    async def work(ingest: Ingest) -> None:
        assert await ingest.send([line("t", "before")]) == [True]
        broker.pause()
        assert await ingest.send(sent) == [False] * 5
        assert "did not acknowledge" in ingest.trouble
        broker.resume()
        while not all(await ingest.send(sent)):
            pass
        assert ingest.trouble == ""

    with_ingest(broker.bootstrap, prefix, work, timeout=2.0)
    found = {event["id"] for event in events(broker.bootstrap, prefix)}
    assert found == {"before", *(f"id-{n}" for n in range(5))}


def test_without_a_broker_nothing_is_sent_and_that_is_said() -> None:
    async def run() -> None:
        ingest = Ingest({"bootstrap.servers": "127.0.0.1:1"}, TOPIC, timeout=1)
        with pytest.raises(UnavailableError, match="not been reached"):
            await ingest.send([line("t")])
        await ingest.close()

    asyncio.run(run())


def test_a_client_that_gave_up_is_replaced(broker: Broker, prefix: str) -> None:
    create_topic(broker.bootstrap, prefix)

    async def work(ingest: Ingest) -> None:
        broker.pause()
        waiting = asyncio.create_task(ingest.send([line("t")]))
        client = ingest._producer
        while not len(client):
            await asyncio.sleep(0.001)
        ingest._on_fatal("as librdkafka would say")
        assert await waiting == [False]
        assert ingest._producer is not client
        broker.resume()
        assert await ingest.send([line("t")]) == [True]

    with_ingest(broker.bootstrap, prefix, work)
