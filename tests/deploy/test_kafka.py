"""The embedded Kafka: a real broker that keeps what it acknowledged, and says in a sentence why it does not start."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from meterline_deploy.embedded.jars import jars
from meterline_deploy.embedded.kafka import prepare
from meterline_deploy.folders import FolderInUseError, lock_folder
from tests.services.kafka import EmbeddedBroker
from tests.support.cluster import read_all
from tests.support.ports import free_port


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    """A broker that this module alone kills."""
    started = EmbeddedBroker(tmp_path_factory.mktemp("embedded"))
    started.start()
    yield started
    started.kill()


def run(data: Path, port: int, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "meterline_deploy.embedded.kafka", "--data", str(data), "--port", str(port)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env={**os.environ, **environment}
    )


def test_after_a_kill_it_starts_on_the_same_folder_with_all_that_it_acknowledged(own: EmbeddedBroker) -> None:
    admin = AdminClient({"bootstrap.servers": own.bootstrap, "log_level": 0})
    cluster = admin.list_topics(timeout=20).cluster_id
    admin.create_topics([NewTopic("kept", 2, 1)])["kept"].result(20)
    producer = Producer({"bootstrap.servers": own.bootstrap, "transactional.id": "t", "log_level": 0})
    producer.init_transactions(20)
    for number in range(20):
        producer.begin_transaction()
        producer.produce("kept", b"%d" % number, partition=number % 2)
        producer.commit_transaction(20)
    own.kill()
    own.start()
    again = AdminClient({"bootstrap.servers": own.bootstrap, "log_level": 0})
    assert again.list_topics(timeout=20).cluster_id == cluster
    assert sorted(int(message.value()) for message in read_all(own.bootstrap, "kept")) == list(range(20))


def test_it_stops_cleanly_on_sigterm_and_starts_again(own: EmbeddedBroker) -> None:
    own.stop()
    own.start()
    assert own.ready()


def test_topics_are_not_made_by_mentioning_them(own: EmbeddedBroker) -> None:
    producer = Producer({"bootstrap.servers": own.bootstrap, "message.timeout.ms": 2000, "log_level": 0})
    failed: list[str] = []
    producer.produce("nobody-made-this", b"x", on_delivery=lambda error, _: failed.append(error.name()))
    producer.flush(20)
    assert failed in (["_UNKNOWN_TOPIC"], ["UNKNOWN_TOPIC_OR_PART"], ["_MSG_TIMED_OUT"])
    assert "nobody-made-this" not in AdminClient({"bootstrap.servers": own.bootstrap}).list_topics(timeout=20).topics


def test_it_listens_on_this_machine_only(own: EmbeddedBroker) -> None:
    port = int(own.bootstrap.rpartition(":")[2])
    lines = [
        line.split()
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        for line in Path(table).read_text().splitlines()[1:]
    ]
    listening = {line[1] for line in lines if line[3] == "0A" and line[1].endswith(f":{port:04X}")}
    loopback = {f"0100007F:{port:04X}", f"0000000000000000FFFF00000100007F:{port:04X}"}
    assert listening
    assert listening <= loopback


def test_a_second_broker_on_the_folder_is_refused_with_the_reason(own: EmbeddedBroker) -> None:
    data = own.log.parent / "kafka"
    refused = run(data, free_port())
    assert refused.returncode == 1
    assert f"{data} is in use: another Kafka is running on it (process {own.pid})" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def test_a_taken_port_is_named_with_the_option_that_changes_it(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = run(tmp_path, port)
    assert refused.returncode == 1
    assert refused.stderr == f"kafka: port {port} is taken: give Kafka another one with --port\n"


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused = run(tmp_path / "file" / "data", free_port())
    assert refused.returncode == 1
    assert refused.stderr.startswith("kafka: cannot use the folder")
    assert "Traceback" not in refused.stderr


def test_a_format_that_was_cut_short_is_done_again(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "meta.properties").write_text("version=1\n")  # the rest never came
    command = prepare(tmp_path, free_port())
    assert command[-2:] == ["kafka.Kafka", str(tmp_path / "server.properties")]
    assert (tmp_path / "log" / "bootstrap.checkpoint").exists()
    assert (tmp_path / "cluster.id").read_text() in (tmp_path / "log" / "meta.properties").read_text()
    assert (tmp_path / "formatted").exists()


def test_a_download_that_fails_is_one_sentence_and_leaves_nothing_behind(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    nowhere = dict.fromkeys(("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"), "http://127.0.0.1:9")
    failed = run(tmp_path / "data", free_port(), METERLINE_CACHE=str(cache), NO_PROXY="", no_proxy="", **nowhere)
    assert failed.returncode == 1
    progress, sentence = failed.stderr.strip().splitlines()
    assert progress == f"downloading Apache Kafka 4.1.1 (45 MB, once) to {cache}"
    assert sentence.startswith("kafka: cannot download Apache Kafka 4.1.1 from Maven Central (")
    assert "--kafka" in sentence
    assert [path.name for path in cache.iterdir()] == ["kafka.lock"]


def test_jars_that_are_there_are_not_downloaded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METERLINE_CACHE", str(tmp_path))
    (tmp_path / "kafka-4.1.1").mkdir()
    said: list[str] = []
    assert jars(said.append) == tmp_path / "kafka-4.1.1"
    assert said == []


def test_a_lock_is_held_until_its_holder_is_gone(tmp_path: Path) -> None:
    with lock_folder(tmp_path, "Kafka"), pytest.raises(FolderInUseError, match=rf"process {os.getpid()}"):
        lock_folder(tmp_path, "Kafka")
    lock_folder(tmp_path, "Kafka").close()
