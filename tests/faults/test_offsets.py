"""The watermark is the authority: whatever happens to group offsets, the state and the log."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import OffsetSpec

from tests.support import cluster
from tests.support.streams import Streams, wait_until
from tests.support.workload import Workload

pytestmark = pytest.mark.faults


def _two_halves(streams: Streams, seed: int) -> list[list[tuple[int, bytes]]]:
    records = list(Workload(seed=seed, events=4_000).records(streams.home, streams.partitions))
    return [records[::2], records[1::2]]


def _stop(streams: Streams) -> None:
    """End the worker and wait until its group is empty."""
    streams.kill("a")
    admin = cluster.admin(streams.bootstrap)
    group = streams.prefix + "meterline-streams"

    def empty() -> bool:
        described = admin.describe_consumer_groups([group])[group].result(20)
        return len(described.members) == 0

    wait_until(empty, 30, "the group without members")


@pytest.mark.parametrize(
    "fault",
    ["reset to the start", *(pytest.param(fault, marks=pytest.mark.long) for fault in ("deleted", "set to the end"))],
)
def test_group_offsets_do_not_matter(kafka: str, prefix: str, tmp_path: Path, fault: str) -> None:
    with Streams(kafka, prefix, tmp_path) as streams:
        first, second = _two_halves(streams, 31)
        streams.send(first)
        streams.start("a")
        streams.drain("a")
        _stop(streams)
        streams.send(second)
        group, events = prefix + "meterline-streams", prefix + "usage.events"
        admin = cluster.admin(kafka)
        if fault == "deleted":
            admin.delete_consumer_groups([group])[group].result(20)
        else:
            end = cluster.ends(kafka, events)
            at = [TopicPartition(events, n, offset if fault == "set to the end" else 0) for n, offset in end.items()]
            admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, at)])[group].result(20)
        streams.start("a")
        if fault == "set to the end":  # nothing arrives until something new does: then the gap is seen
            streams.send(Workload(seed=32, events=400, lines_per_record=1).records(streams.home, streams.partitions))
        streams.drain("a")
        streams.check_exact()


def test_a_worker_refuses_to_count_again_when_its_state_is_gone(kafka: str, prefix: str, tmp_path: Path) -> None:
    with Streams(kafka, prefix, tmp_path) as streams:
        first, second = _two_halves(streams, 33)
        streams.send(first)
        streams.start("a")
        streams.drain("a")
        _stop(streams)
        admin = cluster.admin(kafka)
        state = prefix + "meterline.state"
        spec = {TopicPartition(state, n): OffsetSpec.latest() for n in range(streams.partitions)}
        ends = {tp: found.result(20).offset for tp, found in admin.list_offsets(spec).items()}
        admin.delete_topics([state])[state].result(20)
        wait_until(lambda: state not in admin.list_topics(timeout=20).topics, 20, "the state topic gone")
        from confluent_kafka.admin import NewTopic

        admin.create_topics([NewTopic(state, streams.partitions, 1)])[state].result(20)
        assert ends
        streams.send(second)
        streams.start("a")
        assert streams.exit_code("a", 60) == 70
        assert "is empty although" in streams.log("a").read_text()
        group = prefix + "meterline-streams"
        wait_until(lambda: _deleted(admin, group), 40, "the group deleted")
        streams.start("a")  # without commits, what was accepted still bears witness
        assert streams.exit_code("a", 60) == 70
        assert "was written to" in streams.log("a").read_text()


def test_events_that_retention_took_are_named_and_stop_the_worker(kafka: str, prefix: str, tmp_path: Path) -> None:
    with Streams(kafka, prefix, tmp_path, partitions=1) as streams:
        first, second = _two_halves(streams, 34)
        streams.send(first)
        streams.start("a")
        streams.drain("a")
        _stop(streams)
        watermark = cluster.judged(kafka, prefix)[0]
        streams.send(second)
        events = prefix + "usage.events"
        cluster.admin(kafka).delete_records([TopicPartition(events, 0, watermark + 5)])
        wait_until(lambda: _start(kafka, events) == watermark + 5, 20, "the records deleted")
        streams.start("a")
        assert streams.exit_code("a", 60) == 70
        log = streams.log("a").read_text()
        assert f"offsets {watermark} to {watermark + 4} are gone" in log
        streams.start("a", METERLINE_ACCEPT_LOST=f'{{"0": {watermark + 5}}}')
        streams.drain()


def _start(bootstrap: str, topic: str) -> int:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "tests"})
    low, _high = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=20)
    consumer.close()
    return int(low)


def _deleted(admin: object, group: str) -> bool:
    from confluent_kafka import KafkaException

    try:
        admin.delete_consumer_groups([group])[group].result(20)  # type: ignore[attr-defined]
    except KafkaException:
        return False
    return True
