"""UsageProducer against a real broker: present, absent, frozen, refusing; in threads, forks and at exit."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from meterline import ConfigurationError, InvalidUsageError, Limits, Problem, Stats, UsageProducer
from meterline.kafka_transport import KafkaTransport
from meterline_schemas.partitioning import partition_of
from tests.producers.reading import create_topic, events, records
from tests.services.kafka import Broker
from tests.support.streams import wait_until

NOWHERE = "127.0.0.1:1"


def test_what_is_tracked_is_in_the_topic_once_it_is_flushed(kafka: str, prefix: str) -> None:
    create_topic(kafka, prefix)
    with UsageProducer(kafka, topic_prefix=prefix, source="shop") as producer:
        id = producer.track(
            "acme",
            "orders",
            Decimal("2.50"),
            subject="user-1",
            properties={"region": "eu", "n": 1},
            timestamp=datetime(2026, 1, 2, 3, 4, 5, 678901, UTC),
        )
        assert producer.flush(30) == 0
        assert producer.stats() == Stats(tracked=1, acknowledged=1)
    assert events(kafka, prefix) == [
        {
            "id": id,
            "tenant_id": "acme",
            "metric": "orders",
            "quantity": "2.5",
            "timestamp": "2026-01-02T03:04:05.678Z",
            "subject": "user-1",
            "source": "shop",
            "properties": {"region": "eu", "n": 1},
        }
    ]


def test_events_of_many_threads_arrive_once_each_in_batches_on_their_partitions(kafka: str, prefix: str) -> None:
    create_topic(kafka, prefix, partitions=3)
    ids: list[str] = []
    with UsageProducer(kafka, topic_prefix=prefix, limits=Limits(batch_events=100)) as producer:

        def work(number: int) -> None:
            ids.extend([producer.track(f"tenant-{(number + n) % 40}", "calls") for n in range(2_000)])

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert producer.flush(30) == 0
        assert producer.stats() == Stats(tracked=8_000, acknowledged=8_000)
    found = records(kafka, prefix)
    lines = [(partition, json.loads(line)) for partition, value in found for line in value.split(b"\n")]
    assert Counter(line["id"] for _partition, line in lines) == Counter(ids)
    assert all(partition == partition_of(line["tenant_id"], 3) for partition, line in lines)
    assert all(value.count(b"\n") < 100 for _partition, value in found)
    assert len(found) < 2_000  # batched: at most one record for four events, at full speed one for a hundred


def test_an_id_of_the_app_is_kept(kafka: str, prefix: str) -> None:
    create_topic(kafka, prefix)
    with UsageProducer(kafka, topic_prefix=prefix) as producer:
        assert producer.track("t", "m", id='order "7"') == 'order "7"'
    assert [event["id"] for event in events(kafka, prefix)] == ['order "7"']


def test_events_wait_for_a_broker_that_is_away_at_the_start(broker: Broker, prefix: str) -> None:
    create_topic(broker.bootstrap, prefix)
    broker.kill()
    with UsageProducer(broker.bootstrap, topic_prefix=prefix) as producer:
        for _ in range(10):
            producer.track("t", "m")
        assert producer.stats() == Stats(tracked=10, pending=10)
        broker.start()
        assert producer.flush(60) == 0
    assert len(events(broker.bootstrap, prefix)) == 10


def test_events_wait_while_the_broker_is_frozen_and_arrive_once(broker: Broker, prefix: str) -> None:
    create_topic(broker.bootstrap, prefix)
    with UsageProducer(broker.bootstrap, topic_prefix=prefix) as producer:
        producer.track("t", "m")
        assert producer.flush(30) == 0
        broker.pause()
        for _ in range(100):
            producer.track("t", "m")
        assert producer.flush(0.5) == 100
        broker.resume()
        assert producer.flush(60) == 0
        assert producer.stats() == Stats(tracked=101, acknowledged=101)
    found = events(broker.bootstrap, prefix)
    assert len(found) == len({event["id"] for event in found}) == 101


def test_a_broker_that_says_nothing_is_told(broker: Broker, prefix: str) -> None:
    create_topic(broker.bootstrap, prefix)
    problems: list[Problem] = []
    with UsageProducer(broker.bootstrap, topic_prefix=prefix, on_error=problems.append) as producer:
        producer.track("t", "m")
        assert producer.flush(30) == 0
        broker.pause()
        producer.track("t", "m")
        wait_until(lambda: bool(problems), 60, "the silence is told")
        broker.resume()
        assert producer.flush(60) == 0
    assert problems[0].kind == "broker"
    assert "1 usage events wait in memory" in problems[0].detail


def test_events_wait_for_a_topic_that_does_not_exist_yet(kafka: str, prefix: str) -> None:
    problems: list[Problem] = []
    with UsageProducer(kafka, topic_prefix=prefix, on_error=problems.append) as producer:
        producer.track("t", "m")
        wait_until(lambda: bool(problems), 30, "the missing topic is reported")
        assert f"no topic {prefix}usage.events" in problems[0].detail
        assert problems[0].kind == "broker"
        create_topic(kafka, prefix)
        assert producer.flush(30) == 0


def test_a_full_buffer_drops_counts_and_reports(caplog: pytest.LogCaptureFixture) -> None:
    problems: list[Problem] = []
    limits = Limits(max_events=5, report_seconds=0)
    producer = UsageProducer(NOWHERE, limits=limits, on_error=problems.append)
    for _ in range(8):
        producer.track("t", "m")
    assert producer.stats() == Stats(tracked=8, dropped=3, pending=5)
    wait_until(lambda: any(p.kind == "dropped" for p in problems), 30, "the drop is reported")
    assert sum(p.events for p in problems if p.kind == "dropped") == 3
    assert "3 usage events dropped" in caplog.text
    assert producer.close(0.1) == 5
    assert producer.stats() == Stats(tracked=8, dropped=3, failed=5)
    assert sum(p.events for p in problems if p.kind == "failed") == 5


def test_bytes_are_a_limit_too() -> None:
    producer = UsageProducer(NOWHERE, limits=Limits(max_bytes=1_000))
    for _ in range(10):
        producer.track("t", "m", properties={"text": "x" * 300})
    assert producer.stats() == Stats(tracked=10, dropped=8, pending=2)
    producer.close(0)


def test_a_burst_of_problems_is_told_once() -> None:
    problems: list[Problem] = []
    producer = UsageProducer(NOWHERE, limits=Limits(max_events=1, report_seconds=3_600), on_error=problems.append)
    producer.track("t", "m")
    producer.track("t", "m")
    wait_until(lambda: any(p.kind == "dropped" for p in problems), 30, "the first drop is reported")
    for _ in range(1_000):
        producer.track("t", "m")
    producer.close(0)
    wait_until(
        lambda: sum(p.events for p in problems if p.kind == "dropped") == 1_001, 30, "the rest is told at the end"
    )
    assert sum(1 for p in problems if p.kind == "dropped") == 2


def test_an_on_error_that_raises_ends_nothing(kafka: str, prefix: str, caplog: pytest.LogCaptureFixture) -> None:
    def raising(_problem: Problem) -> None:
        raise RuntimeError("in the app")

    with UsageProducer(kafka, topic_prefix=prefix, on_error=raising) as producer:
        producer.track("t", "m")
        wait_until(lambda: "on_error raised" in caplog.text, 30, "the exception is logged")
        create_topic(kafka, prefix)
        assert producer.flush(30) == 0


def test_what_kafka_refuses_for_good_is_failed_and_reported(kafka: str, prefix: str) -> None:
    create_topic(kafka, prefix, config={"max.message.bytes": "1000", "compression.type": "uncompressed"})
    problems: list[Problem] = []
    with UsageProducer(kafka, topic_prefix=prefix, on_error=problems.append) as producer:
        producer.track("t", "m", properties={"noise": os.urandom(3_000).hex()})
        assert producer.flush(30) == 0
        assert producer.stats() == Stats(tracked=1, failed=1)
        producer.track("t", "m")
        assert producer.flush(30) == 0
        assert producer.stats() == Stats(tracked=2, acknowledged=1, failed=1)
    assert [p.events for p in problems if p.kind == "failed"] == [1]


def test_a_client_that_gave_up_is_replaced_and_nothing_is_lost(broker: Broker, prefix: str) -> None:
    create_topic(broker.bootstrap, prefix)
    with UsageProducer(broker.bootstrap, topic_prefix=prefix) as producer:
        producer.track("t", "m")
        assert producer.flush(30) == 0
        broker.pause()
        ids = [producer.track("t", "m") for _ in range(50)]
        producer.flush(0.3)
        sender = producer._sender
        assert sender is not None
        transport = sender.transport
        assert isinstance(transport, KafkaTransport)
        client = transport.producer
        transport._on_fatal("as librdkafka would say")
        wait_until(lambda: transport.producer is not client, 30, "the client is replaced")
        broker.resume()
        assert producer.flush(60) == 0
        assert producer.stats() == Stats(tracked=51, acknowledged=51)
    assert {event["id"] for event in events(broker.bootstrap, prefix)} >= set(ids)


def test_a_record_that_is_too_large_is_cut_until_each_event_fits(kafka: str, prefix: str) -> None:
    create_topic(kafka, prefix, config={"max.message.bytes": "20000", "compression.type": "uncompressed"})
    limits = Limits(batch_bytes=500_000)
    config = {"compression.type": "none", "linger.ms": 0}
    with UsageProducer(kafka, topic_prefix=prefix, limits=limits, kafka_config=config) as producer:
        ids = [producer.track("t", "m", properties={"noise": os.urandom(1_000).hex()}) for _ in range(200)]
        producer.track("t", "m", properties={"noise": os.urandom(20_000).hex()})
        assert producer.flush(60) == 0
        assert producer.stats() == Stats(tracked=201, acknowledged=200, failed=1)
    assert Counter(event["id"] for event in events(kafka, prefix)) == Counter(ids)


def test_a_producer_in_a_hurry_waits_for_no_batch(kafka: str, prefix: str) -> None:
    create_topic(kafka, prefix)
    with UsageProducer(kafka, topic_prefix=prefix, limits=Limits(batch_seconds=3_600)) as producer:
        producer.track("t", "m")
        assert producer.flush(30) == 0
        producer.track("t", "m")
        assert producer.flush(30) == 0


def test_what_was_dropped_is_told_when_the_producer_closes() -> None:
    problems: list[Problem] = []
    producer = UsageProducer(NOWHERE, limits=Limits(max_events=5), on_error=problems.append)
    for _ in range(30):
        producer.track("t", "m")
    assert producer.close(0.1) == 5
    assert sum(problem.events for problem in problems if problem.kind == "dropped") == 25
    assert all("at most 5" in problem.detail for problem in problems if problem.kind == "dropped")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"bootstrap_servers": ["127.0.0.1:9092"]}, "a:9092,b:9092"),
        ({"limits": {"max_events": 3}}, "Limits"),
        ({"on_error": 5}, "function"),
    ],
)
def test_arguments_of_the_wrong_type_are_named(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(TypeError, match=said):
        UsageProducer(**{"bootstrap_servers": NOWHERE, **arguments})


def test_events_after_close_are_dropped_and_counted(kafka: str, prefix: str) -> None:
    create_topic(kafka, prefix)
    producer = UsageProducer(kafka, topic_prefix=prefix)
    producer.track("t", "m")
    assert producer.close(30) == 0
    producer.track("t", "m")
    assert producer.stats() == Stats(tracked=2, acknowledged=1, dropped=1)
    assert producer.close() == 0


def test_mistakes_of_the_programmer_are_raised_and_not_counted() -> None:
    with UsageProducer(NOWHERE) as producer:
        mistakes: list[tuple[type[Exception], Callable[[], Any]]] = [
            (TypeError, lambda: producer.track("t", "m", 0.1)),  # type: ignore[arg-type]
            (InvalidUsageError, lambda: producer.track("", "m")),
            (ValueError, lambda: producer.track("t", "m", "1.0000000001")),
            (InvalidUsageError, lambda: producer.track("t", "m", timestamp=datetime(2026, 1, 1))),  # noqa: DTZ001
            (InvalidUsageError, lambda: producer.track("t", "m", id="")),
            (InvalidUsageError, lambda: producer.track("t", "m", properties={"x": "y" * 300_000})),
            (InvalidUsageError, lambda: producer.track("t", "m", 10**5000)),
            (TypeError, lambda: producer.track("t", "m", properties="text")),  # type: ignore[arg-type]
        ]
        for kind, mistake in mistakes:
            with pytest.raises(kind):
                mistake()
        assert producer.stats() == Stats()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "set METERLINE_KAFKA"),
        ({"bootstrap_servers": "http://127.0.0.1:9092"}, "host:port"),
        ({"bootstrap_servers": NOWHERE, "topic_prefix": "a b"}, "letters, digits"),
        ({"bootstrap_servers": NOWHERE, "kafka_config": {"no.such.property": "1"}}, "no.such.property"),
        ({"bootstrap_servers": NOWHERE, "kafka_config": {"acks": "9000000"}}, "acks"),
    ],
)
def test_wrong_settings_are_told_when_the_producer_is_made(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        UsageProducer(**arguments)


def test_settings_come_from_the_environment(kafka: str, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    create_topic(kafka, prefix)
    monkeypatch.setenv("METERLINE_KAFKA", kafka)
    monkeypatch.setenv("METERLINE_TOPIC_PREFIX", prefix)
    monkeypatch.setenv("METERLINE_KAFKA_CONFIG", '{"client.id": "shop"}')
    with UsageProducer() as producer:
        producer.track("t", "m")
    assert len(events(kafka, prefix)) == 1
    monkeypatch.setenv("METERLINE_KAFKA_CONFIG", "[]")
    with pytest.raises(ConfigurationError, match="METERLINE_KAFKA_CONFIG"):
        UsageProducer()


def test_limits_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="max_events"):
        Limits(max_events=0)


def run(program: str, kafka: str, prefix: str) -> str:
    """The output of a program that begins with a producer, run by an interpreter of its own."""
    start = (
        f"import os, sys\nfrom meterline import UsageProducer\np = UsageProducer({kafka!r}, topic_prefix={prefix!r})\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", start + program],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if not line.endswith("retrying")]  # of a broker just started
    assert said == []
    return done.stdout


def test_a_process_that_ends_sends_what_waits(kafka: str, prefix: str) -> None:
    create_topic(kafka, prefix)
    run("for n in range(1000): p.track('t', 'm')", kafka, prefix)
    assert len(events(kafka, prefix)) == 1_000


def test_a_fork_waits_for_a_connection_that_is_being_made(kafka: str, prefix: str) -> None:
    """Else the child may find the lock of a name's resolution held for ever, and never connects."""
    create_topic(kafka, prefix)
    program = """
import meterline.sender
meterline.sender._YOUNG = 60.0
p.track("parent", "m")
child = os.fork()
if child == 0: os._exit(0)
print(p.stats().acknowledged)
os.waitpid(child, 0)
"""
    assert run(program, kafka, prefix) == "1\n"


def test_a_forked_child_sends_its_own_events_and_none_of_its_parent(kafka: str, prefix: str) -> None:
    create_topic(kafka, prefix)
    program = """
import meterline.sender
meterline.sender._YOUNG = 60.0  # on a machine with more to do than it can a second is not enough
for n in range(500): p.track("parent", "m")
child = os.fork()
if child == 0:
    for n in range(700): p.track("child", "m")
    assert p.stats().tracked == 700
    sys.exit(p.flush(60))
assert os.waitpid(child, 0)[1] == 0
p.track("parent", "m")
assert p.flush(30) == 0
print(p.stats().acknowledged)
"""
    assert run(program, kafka, prefix) == "501\n"
    found = events(kafka, prefix)
    assert Counter(event["tenant_id"] for event in found) == {"parent": 501, "child": 700}
    assert len({event["id"] for event in found}) == 1_201


def test_a_worker_of_multiprocessing_sends_what_waits_when_it_ends(kafka: str, prefix: str) -> None:
    create_topic(kafka, prefix)
    program = """
import multiprocessing
def work():
    for n in range(300): p.track("worker", "m")
p.track("parent", "m")
worker = multiprocessing.get_context("fork").Process(target=work)
worker.start()
worker.join(60)
assert worker.exitcode == 0
"""
    run(program, kafka, prefix)
    assert Counter(event["tenant_id"] for event in events(kafka, prefix)) == {"parent": 1, "worker": 300}


def test_librdkafka_writes_to_the_log_and_not_to_stderr(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    producer = UsageProducer(NOWHERE, limits=Limits(report_seconds=0))
    producer.track("t", "m")
    wait_until(lambda: "Connection refused" in caplog.text, 30, "librdkafka's own words are in the log")
    producer.close(0)
    assert capfd.readouterr().err == ""
