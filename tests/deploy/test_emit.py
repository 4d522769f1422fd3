"""``meterline emit``: files and pipes of events, acknowledged by a real Kafka, each line once."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from meterline_deploy.commands.events_file import Line, read_lines
from meterline_deploy.emit.sending import Outcome, Sending
from meterline_schemas.event import MAX_LINE_BYTES
from meterline_schemas.partitioning import partition_of
from tests.deploy.running import meterline
from tests.services.kafka import create_topics
from tests.support.cluster import read_all
from tests.support.ports import free_port

PARTITIONS = 3


def event(number: int, **more: object) -> dict[str, Any]:
    return {
        "id": f"event-{number}",
        "tenant_id": f"tenant-{number % 7}",
        "metric": "api_calls",
        "quantity": f"{number}.25",
        "timestamp": "2026-11-21T05:00:00Z",
        **more,
    }


def ndjson(*events: object) -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in events)


def read(data: bytes) -> list[Line]:
    return list(read_lines(io.BytesIO(data)))


def ids(data: bytes) -> list[str]:
    return [line.event.id for line in read(data) if line.event]


@pytest.fixture
def environment(kafka: str, prefix: str) -> dict[str, str]:
    create_topics(kafka, prefix, PARTITIONS)
    return {"METERLINE_KAFKA": kafka, "METERLINE_TOPIC_PREFIX": prefix}


def sent(environment: dict[str, str]) -> list[tuple[int, dict[str, Any]]]:
    """Every line on usage.events, with its partition."""
    topic = environment["METERLINE_TOPIC_PREFIX"] + "usage.events"
    return [
        (message.partition(), json.loads(line))
        for message in read_all(environment["METERLINE_KAFKA"], topic)
        for line in (message.value() or b"").split(b"\n")
    ]


# reading, without any server


def test_lines_are_numbered_as_an_editor_numbers_them_and_blank_ones_are_none() -> None:
    data = b"\n" + ndjson(event(1)) + b"  \r\n\n" + ndjson(event(2)).replace(b"\n", b"\r\n") + b"{"
    assert [(line.number, line.event is not None) for line in read(data)] == [(2, True), (5, True), (6, False)]


def test_the_sizes_of_lines_add_up_to_the_file() -> None:
    data = b"\n\n" + ndjson(event(1)) + b"x" * (MAX_LINE_BYTES * 3) + b"\n" + ndjson(event(2))
    assert sum(line.size for line in read(data)) == len(data)


def test_a_line_without_an_id_gets_the_same_one_each_time_and_another_than_its_twin() -> None:
    bare = {name: value for name, value in event(1).items() if name != "id"}
    once = ids(ndjson(bare, bare, event(5), bare))
    assert once == ids(ndjson(bare, bare, event(5), bare))
    assert once[2] == "event-5"
    assert len(set(once)) == 4


def test_a_file_that_has_grown_keeps_the_ids_of_its_lines() -> None:
    bare = [{**event(number)} for number in range(5)]
    for each in bare:
        del each["id"]
    assert ids(ndjson(*bare))[:3] == ids(ndjson(*bare[:3]))
    assert set(ids(ndjson(*bare))).isdisjoint(ids(ndjson(*bare[1:]))), "another file has other ids"


@pytest.mark.parametrize(
    ("line", "reason", "detail"),
    [
        (b"not json", "invalid_json", "malformed"),
        (b'{"id": "1"}', "invalid_event", "tenant_id"),
        (ndjson({**event(1), "timestamp": None}), "invalid_event", "timestamp"),
        (ndjson({**event(1), "timestamp": "2026-11-21T05:00:00"}), "invalid_event", "timestamp"),
        (ndjson({**event(1), "id": ""}), "invalid_event", "id"),
        (b"\xff\xfe", "invalid_json", ""),
        (b'{"properties": ' + b"[" * 100_000, "invalid_json", ""),
        (b" " * 10 + b"y" * MAX_LINE_BYTES, "invalid_event", f"more than {MAX_LINE_BYTES} bytes"),
    ],
    ids=["text", "no tenant", "null time", "naive time", "empty id", "no utf-8", "deep", "long"],
)
def test_what_is_no_event_is_told_with_its_reason(line: bytes, reason: str, detail: str) -> None:
    good = ndjson(event(2))
    found = read(line.rstrip(b"\n") + b"\n" + good)
    assert [each.event is not None for each in found] == [False, True]
    problem = found[0].problem
    assert problem is not None
    assert problem.reason == reason
    assert detail in problem.detail


def test_a_missing_timestamp_is_never_made_up() -> None:
    bare = event(1)
    del bare["timestamp"]
    (line,) = read(ndjson(bare))
    assert line.problem is not None
    assert "timestamp" in line.problem.detail


# with Kafka


def test_a_file_is_sent_line_by_line_to_the_partitions_of_its_tenants(
    environment: dict[str, str], tmp_path: Path
) -> None:
    events = [event(number, properties={"n": number}) for number in range(2500)]
    file = tmp_path / "usage.ndjson"
    file.write_bytes(ndjson(*events))
    done = meterline("emit", str(file), more=environment)
    assert (done.returncode, done.stdout) == (0, "2,500 lines: 2,500 sent, 2,500 acknowledged, 0 invalid\n")
    found = sent(environment)
    assert Counter(each["id"] for _partition, each in found) == Counter(each["id"] for each in events)
    assert all(partition == partition_of(each["tenant_id"], PARTITIONS) for partition, each in found)
    by_id = {each["id"]: each for _partition, each in found}
    assert by_id["event-7"]["quantity"] == "7.25"
    assert by_id["event-7"]["properties"] == {"n": 7}


def test_invalid_lines_are_named_and_the_others_are_sent(environment: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "usage.ndjson"
    file.write_bytes(ndjson(event(1)) + b"oops\n" + ndjson({**event(2), "quantity": "1e30"}, event(3)))
    done = meterline("emit", str(file), more=environment)
    assert done.returncode == 1
    assert done.stdout == "4 lines: 2 sent, 2 acknowledged, 2 invalid\n"
    assert "line 2: invalid_json: " in done.stderr
    assert "line 3: quantity_out_of_range: " in done.stderr
    assert [each["id"] for _partition, each in sorted(sent(environment), key=str)] in (
        ["event-1", "event-3"],
        ["event-3", "event-1"],
    )


def test_only_the_first_invalid_lines_are_shown(environment: dict[str, str]) -> None:
    done = meterline("emit", "-", more=environment, text="x\n" * 25)
    assert done.returncode == 1
    assert done.stderr.count("invalid_json") == 10
    assert "and 15 invalid lines more" in done.stderr
    assert done.stdout == "25 lines: 0 sent, 0 acknowledged, 25 invalid\n"


def test_strict_stops_at_the_first_invalid_line(environment: dict[str, str]) -> None:
    text = (ndjson(event(1)) + b"oops\n" + ndjson(event(2))).decode()
    done = meterline("emit", "--strict", "-", more=environment, text=text)
    assert done.returncode == 1
    assert "stopped at line 2" in done.stderr
    assert done.stdout == "2 lines: 1 sent, 1 acknowledged, 1 invalid\n"
    assert [each["id"] for _partition, each in sent(environment)] == ["event-1"]


def test_standard_input_is_a_stream(environment: dict[str, str]) -> None:
    """The first events arrive while the pipe is still open."""
    command = [sys.executable, "-m", "meterline_deploy", "emit", "-"]
    process = subprocess.Popen(
        command, env={**os.environ, **environment}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=False
    )
    assert process.stdin is not None
    process.stdin.write(ndjson(event(1)))
    process.stdin.flush()
    from tests.support.streams import wait_until

    wait_until(lambda: len(sent(environment)) == 1, 60, "the first event")
    assert process.poll() is None
    out, _err = process.communicate(ndjson(event(2)), timeout=60)
    assert (process.returncode, out) == (0, b"2 lines: 2 sent, 2 acknowledged, 0 invalid\n")


def test_large_lines_are_not_dropped_for_want_of_room(environment: dict[str, str]) -> None:
    events = [event(number, properties={"text": "x" * 200_000}) for number in range(400)]
    done = meterline("emit", "-", more=environment, text=ndjson(*events).decode())
    assert (done.returncode, done.stdout) == (0, "400 lines: 400 sent, 400 acknowledged, 0 invalid\n"), done.stderr
    assert len(sent(environment)) == 400


def test_a_kafka_that_is_away_is_said_and_nothing_is_called_acknowledged() -> None:
    more = {"METERLINE_KAFKA": f"127.0.0.1:{free_port()}"}
    done = meterline("emit", "--timeout", "2", "-", more=more, text=ndjson(event(1)).decode())
    assert done.returncode == 1
    assert "Kafka did not answer for 2 s" in done.stderr
    assert "1 events were not acknowledged; emit the same again" in done.stderr
    assert done.stdout == "1 lines: 1 sent, 0 acknowledged, 0 invalid\n"
    assert "Traceback" not in done.stderr


def test_a_file_that_is_not_there_is_a_wrong_option(tmp_path: Path) -> None:
    done = meterline("emit", str(tmp_path / "none.ndjson"))
    assert done.returncode == 2
    assert "cannot read" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_sdk_never_holds_more_than_two_windows() -> None:
    """Constant memory: lines are read no faster than Kafka takes them."""
    from meterline import Stats

    class Slow:
        """A producer whose broker takes a thousand events at a time; only its counts are asked here."""

        tracked = acknowledged = most = 0

        def track_event(self, _event: object) -> None:
            self.tracked += 1
            self.most = max(self.most, self.tracked - self.acknowledged)

        def stats(self) -> Stats:
            self.acknowledged = min(self.tracked, self.acknowledged + 1000)
            return Stats(self.tracked, self.acknowledged, pending=self.tracked - self.acknowledged)

        def flush(self, _timeout: float) -> int:
            return 0

    slow, outcome = Slow(), Outcome()
    sending = Sending(slow, 30, outcome)  # type: ignore[arg-type]
    sending.send(iter(read(ndjson(*(event(number) for number in range(45_000))))), False, lambda: None)
    sending.finish()
    assert outcome.sent == 45_000 == slow.acknowledged
    assert slow.most <= 15_000
