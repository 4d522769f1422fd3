"""Topics: made as they must be, once, and never quietly other than written down."""

from __future__ import annotations

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from meterline_deploy.cluster import Cluster
from meterline_deploy.topics import Difference, correct, differences, ensure_topics, same, settings_of, written_down
from meterline_schemas.catalog import PARTITION_COUNT_KEY
from meterline_schemas.errors import PartitionCountError, UnavailableError
from meterline_schemas.kafka_log import KafkaLog
from meterline_schemas.settings import KafkaSettings
from meterline_schemas.topics import CONFIG, EVENTS, REPLICATED, STATE, TOPICS
from tests.support import cluster as plain


@pytest.fixture
def installation(kafka: str, prefix: str) -> KafkaSettings:
    return KafkaSettings(kafka=kafka, topic_prefix=prefix)


def test_every_topic_is_made_with_its_partitions_and_settings(installation: KafkaSettings) -> None:
    assert ensure_topics(installation, 3) == []
    cluster = Cluster(installation)
    found = cluster.topics()
    settings = cluster.settings([installation.topic(topic.name) for topic in TOPICS])
    for topic in TOPICS:
        name = installation.topic(topic.name)
        assert found[name].partitions == (1 if topic.partitioned == "single" else 3)
        for setting, wanted in topic.settings.items():
            assert settings[name][setting] == wanted, (name, setting)
    assert written_down(installation) == 3


def test_a_second_time_changes_nothing_and_writes_nothing(installation: KafkaSettings) -> None:
    ensure_topics(installation, 3)
    assert ensure_topics(installation, 3) == []
    log = KafkaLog(installation.client(), installation.topic(CONFIG), 0)
    assert [record.key for record in log.read_to_end()] == [PARTITION_COUNT_KEY]
    log.close()


def test_what_is_missing_is_made(installation: KafkaSettings) -> None:
    ensure_topics(installation, 2)
    admin = plain.admin(installation.kafka)
    state = installation.topic(STATE)
    admin.delete_topics([state])[state].result(20)
    ensure_topics(installation, 2)
    assert Cluster(installation).topics()[state].partitions == 2


def test_another_count_than_was_written_down_is_refused(installation: KafkaSettings) -> None:
    ensure_topics(installation, 3)
    with pytest.raises(PartitionCountError, match="set up with 3 partitions here, not 4"):
        ensure_topics(installation, 4)


def test_a_topic_that_exists_with_another_count_is_refused_before_anything_is_made(
    installation: KafkaSettings,
) -> None:
    events = installation.topic(EVENTS)
    admin = AdminClient({"bootstrap.servers": installation.kafka})
    admin.create_topics([NewTopic(events, 5, 1)])[events].result(20)
    with pytest.raises(PartitionCountError, match=r"has 5 partitions, but Meterline was set up with 3"):
        ensure_topics(installation, 3)
    ours = {name for name in Cluster(installation).topics() if name.startswith(installation.topic_prefix)}
    assert ours == {events}


def test_settings_that_differ_are_reported_left_alone_and_corrected_on_demand(installation: KafkaSettings) -> None:
    ensure_topics(installation, 1)
    cluster = Cluster(installation)
    events = installation.topic(EVENTS)
    cluster.change(events, {"message.timestamp.type": "CreateTime"})
    line = f"topic {events}: message.timestamp.type is CreateTime, must be LogAppendTime"
    assert ensure_topics(installation, 1) == [line]
    assert ensure_topics(installation, 1) == [line]
    expected = [Difference(events, "message.timestamp.type", "CreateTime", "LogAppendTime")]
    assert correct(installation) == expected
    assert differences(installation, cluster) == []


def test_a_broker_that_is_not_there_is_named_in_one_sentence() -> None:
    with pytest.raises(UnavailableError, match=r"Kafka at 127\.0\.0\.1:9 does not .*METERLINE_KAFKA"):
        Cluster(KafkaSettings(kafka="127.0.0.1:9"), timeout=1).topics()


def test_three_replicas_make_writes_reach_two_of_them() -> None:
    for topic in TOPICS:
        assert settings_of(topic, 1) == topic.settings
        assert settings_of(topic, 3) == {**topic.settings, **REPLICATED}


def test_the_order_of_a_list_of_policies_does_not_count() -> None:
    assert same("delete,compact", "compact,delete")
    assert not same("delete", "compact,delete")
    assert not same(None, "x")
