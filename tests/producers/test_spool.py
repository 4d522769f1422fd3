"""The spool: what was put into it is taken out of it, whoever wrote it and however that ended."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meterline import ConfigurationError, Limits, Spool, Stats, UsageProducer
from meterline.errors import BufferFullError
from meterline.records import Batch, Line, Record
from meterline.spool.buffer import DAMAGED, SpoolBuffer
from meterline.spool.segment import SUFFIX, Segment, line_of
from tests.producers.reading import create_topic, events
from tests.support.streams import wait_until

NOWHERE = "127.0.0.1:1"
names = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=5)


def line(number: int, tenant: str = "t") -> Line:
    text = json.dumps({"id": str(number), "note": "é\t"}, ensure_ascii=False)
    return tenant, text, len(text.encode())


def lines_of(buffer: SpoolBuffer) -> list[Line]:
    """All that it gives now, in order."""
    found: list[Line] = []
    while (batch := buffer.take()) is not None:
        found += batch.lines
    return found


def record(batch: Batch | None) -> Record:
    assert batch is not None
    return Record(0, b"", batch.left, sum(size for _tenant, _text, size in batch.lines), batch)


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*{SUFFIX}"))


@given(st.lists(st.tuples(names, st.text('äx"\\', max_size=300)), max_size=40), st.integers(0, 39))
@settings(max_examples=30, deadline=None)
def test_what_is_left_behind_is_what_was_not_delivered(
    tmp_path_factory: pytest.TempPathFactory, found: list[tuple[str, str]], delivered: int
) -> None:
    folder = tmp_path_factory.mktemp("spool")
    texts = [(tenant, json.dumps({"text": text})) for tenant, text in found]
    lines = [(tenant, text, len(text)) for tenant, text in texts]
    first = Segment.create(folder)
    for each in lines[:delivered]:
        first.append(line_of(each))
    if (batch := first.take()) is not None:
        batch.left = 0
        first.answered()
    for each in lines[delivered:]:
        first.append(line_of(each))
    first.close()  # as the kernel does for a process that ends
    second = Segment.adopt(first.path)
    assert second is not None
    left = lines[delivered:]
    assert second.waiting == len(left)
    batch = second.take()
    assert (batch.lines if batch else []) == left
    second.close()


def test_a_file_belongs_to_whoever_lives(tmp_path: Path) -> None:
    mine = Segment.create(tmp_path)
    assert Segment.adopt(mine.path) is None
    mine.close()
    theirs = Segment.adopt(mine.path)
    assert theirs is not None
    assert Segment.adopt(mine.path) is None
    theirs.remove()
    assert Segment.adopt(mine.path) is None


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_last_line_that_is_torn_was_never_confirmed(tmp_path: Path, cut: int) -> None:
    segment = Segment.create(tmp_path)
    for number in range(3):
        segment.append(line_of(line(number)))
    segment.close()
    os.truncate(segment.path, segment.size - cut)
    again = Segment.adopt(segment.path)
    assert again is not None
    batch = again.take()
    assert batch is not None
    assert batch.lines == [line(0), line(1)]
    assert again.damaged == []
    again.close()


def test_lines_that_cannot_be_read_are_set_aside_and_told(tmp_path: Path) -> None:
    segment = Segment.create(tmp_path)
    for raw in (line_of(line(0)), b"\0\0\0\0\n", b't\t{"half\n', b"\xff\t{}\n", b"{}\n", line_of(line(1))):
        segment.append(raw)
    segment.close()
    buffer = SpoolBuffer(Limits(), Spool(tmp_path))
    buffer.care()
    assert buffer.stats() == Stats(recovered=6, pending=6)
    assert lines_of(buffer) == [line(0), line(1)]
    assert buffer.stats() == Stats(recovered=6, pending=2, failed=4)
    assert sum(problem.events for problem in buffer.care()) == 4
    assert (tmp_path / DAMAGED).read_bytes() == b'\0\0\0\0\nt\t{"half\n\xff\t{}\n{}\n'
    buffer.give_up()


def test_lines_behind_a_long_damage_are_still_sent(tmp_path: Path) -> None:
    segment = Segment.create(tmp_path)
    for raw in (line_of(line(0)), bytes(1_300_000), b"\n", line_of(line(1))):
        segment.append(raw)
    segment.close()
    buffer = SpoolBuffer(Limits(), Spool(tmp_path))
    buffer.care()
    assert lines_of(buffer) == [line(0), line(1)]
    assert buffer.stats() == Stats(recovered=3, pending=2, failed=1)
    assert (tmp_path / DAMAGED).read_bytes() == bytes(1_300_000) + b"\n"
    buffer.give_up()


def test_a_file_that_somebody_cut_off_holds_nothing_up(tmp_path: Path) -> None:
    for mine in (True, False):
        folder = tmp_path / str(mine)
        folder.mkdir()
        buffer = SpoolBuffer(Limits(), Spool(folder))
        if mine:
            for number in range(3):
                buffer.put(line(number))
            (path,) = files(folder)
        else:
            segment = Segment.create(folder)
            for number in range(3):
                segment.append(line_of(line(number)))
            segment.close()
            path = segment.path
            buffer.care()
        os.truncate(path, path.stat().st_size - len(line_of(line(2))))
        assert lines_of(buffer) == [line(0), line(1)]
        assert buffer.stats().failed == 1
        assert buffer.stats().pending == 2
        buffer.put(line(4))
        assert lines_of(buffer) == [line(4)]
        buffer.give_up()


def test_an_event_nested_as_deep_as_it_may_be_takes_no_other_with_it(tmp_path: Path) -> None:
    segment = Segment.create(tmp_path)
    deep = '{"a":' * 20_000 + "1" + "}" * 20_000
    for each in (line(0), ("t", deep, len(deep)), line(1)):
        segment.append(line_of(each))
    segment.close()
    buffer = SpoolBuffer(Limits(), Spool(tmp_path))
    buffer.care()
    assert lines_of(buffer) == [line(0), ("t", deep, len(deep)), line(1)]
    assert buffer.stats() == Stats(recovered=3, pending=3)
    buffer.give_up()


def test_a_handler_that_tracks_in_the_midst_of_track_takes_nobodys_place(tmp_path: Path) -> None:
    producer = UsageProducer(NOWHERE, spool=tmp_path)
    ids: list[str] = []

    def handler(_number: int, _frame: object) -> None:
        ids.append(producer.track("handler", "m"))
        signal.setitimer(signal.ITIMER_REAL, 0.0001)  # not by interval: a slow handler would be interrupted by itself

    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.001)
    try:
        while len(ids) < 100_000:
            ids.append(producer.track("t", "m"))
    finally:
        signal.signal(signal.SIGALRM, lambda *_: None)  # first, for the handler arms the timer
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    producer.close(0.1)
    lines = [line for path in files(tmp_path) for line in path.read_bytes().split(b"\n")[1:-1]]  # without its head
    kept = Counter(json.loads(text.partition(b"\t")[2])["id"] for text in lines)
    assert sum(1 for id in ids if kept[id] != 1) == 0


def test_a_folder_that_was_deleted_is_told_and_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    folder.mkdir()
    buffer = SpoolBuffer(Limits(), Spool(folder))
    buffer.put(line(0))
    shutil.rmtree(folder)
    (problem,) = buffer.care()
    assert "was deleted" in problem.detail
    buffer.put(line(1))
    assert len(files(folder)) == 1
    assert lines_of(buffer) == [line(0), line(1)]
    buffer.give_up()


def test_few_files_of_others_are_open_at_once(tmp_path: Path) -> None:
    for number in range(12):
        segment = Segment.create(tmp_path)
        segment.append(line_of(line(number)))
        segment.close()
    buffer = SpoolBuffer(Limits(), Spool(tmp_path))
    found: list[Line] = []
    while len(found) < 12:
        buffer.look_again()
        buffer.care()
        assert buffer.wait_until_settled(0) <= 4
        while (batch := buffer.take()) is not None:
            found += batch.lines
            buffer.settle(record(batch))
    assert sorted(found) == sorted(line(number) for number in range(12))
    buffer.look_again()
    assert not buffer._is_settled()
    buffer.care()
    assert buffer._is_settled()
    buffer.give_up()


def test_what_was_written_is_forced_to_the_disk_whatever_the_sender_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forced: list[str] = []
    monkeypatch.setattr(os, "fdatasync", lambda fd: forced.append(os.readlink(f"/proc/self/fd/{fd}")))
    buffer = SpoolBuffer(Limits(), Spool(tmp_path, max_bytes=32_000, sync_seconds=0.01))  # files of 1,000 bytes
    buffer.care()
    for number in range(40):
        buffer.put(line(number))
    wanted = {str(path) for path in files(tmp_path)}
    assert len(wanted) > 1
    wait_until(lambda: wanted <= set(forced), 10, "every file was forced to the disk")
    buffer.give_up()


def test_files_are_removed_once_delivered_and_only_then(tmp_path: Path) -> None:
    buffer = SpoolBuffer(Limits(max_events=10**6), Spool(tmp_path, max_bytes=64 * 1024 * 1024))  # files of 2 MB
    text = "x" * 1_000
    for _ in range(5_000):
        assert buffer.put(("t", text, len(text)))
    assert len(files(tmp_path)) == 3
    batches = []
    while (batch := buffer.take()) is not None:
        batches.append(batch)
    assert len(files(tmp_path)) == 3
    for batch in reversed(batches):
        buffer.settle(record(batch))
    assert len(files(tmp_path)) == 1  # the one that is written
    assert buffer.stats() == Stats(tracked=5_000, acknowledged=5_000)
    assert buffer.give_up() == 0
    assert files(tmp_path) == []


def test_no_more_is_in_memory_than_may_be(tmp_path: Path) -> None:
    buffer = SpoolBuffer(Limits(max_bytes=2_000_000), Spool(tmp_path))
    text = "x" * 1_000
    for _ in range(5_000):
        buffer.put(("t", text, len(text)))
    batches = []
    while (batch := buffer.take()) is not None:
        batches.append(batch)
    taken = sum(batch.left for batch in batches)
    assert 2_000 <= taken <= 2_600
    buffer.settle(record(batches[0]))
    assert buffer.take() is not None
    assert buffer.waiting() > 1_000
    buffer.give_up()


def test_a_full_spool_drops_or_raises_and_takes_again_once_there_is_room(tmp_path: Path) -> None:
    for when_full in ("drop", "raise"):
        folder = tmp_path / when_full
        folder.mkdir()
        buffer = SpoolBuffer(Limits(when_full=when_full), Spool(folder, max_bytes=1_000))
        text = "x" * 400
        assert buffer.put(("t", text, 400))
        assert buffer.put(("t", text, 400))
        if when_full == "raise":
            with pytest.raises(BufferFullError, match="holds its limit of 1,000 bytes"):
                buffer.put(("t", text, 400))
        else:
            assert not buffer.put(("t", text, 400))
        assert buffer.stats() == Stats(tracked=3, dropped=1, pending=2)
        buffer.settle(record(buffer.take()))
        assert buffer.put(("t", text, 400)), "delivered events take no room"
        buffer.give_up()


def test_the_files_of_other_processes_take_room_too(tmp_path: Path) -> None:
    other = SpoolBuffer(Limits(), Spool(tmp_path))
    for number in range(20):
        other.put(line(number))
    buffer = SpoolBuffer(Limits(), Spool(tmp_path, max_bytes=600))
    buffer.care()
    assert not buffer.put(line(0))
    other.give_up()
    buffer.give_up()


def test_what_waited_too_long_is_not_sent_but_counted(tmp_path: Path) -> None:
    segment = Segment.create(tmp_path)
    segment.append(line_of(line(0)))
    segment.close()
    os.utime(segment.path, (0, 0))
    buffer = SpoolBuffer(Limits(), Spool(tmp_path, max_age=timedelta(days=2)))
    (problem,) = buffer.care()
    assert (problem.kind, problem.events) == ("failed", 1)
    assert "2 days" in problem.detail
    assert buffer.stats() == Stats(recovered=1, failed=1)
    assert files(tmp_path) == []
    buffer.give_up()


def test_what_the_disk_refuses_waits_in_memory(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    buffer = SpoolBuffer(Limits(max_events=100), Spool(tmp_path))
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, hard))
        for number in range(120):
            buffer.put(line(number))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    on_disk = 120 - 100 - buffer.stats().dropped
    assert on_disk > 1
    (problem,) = buffer.care()
    assert problem.kind == "spool"
    assert "cannot be written" in problem.detail
    found: list[Line] = []
    while (batch := buffer.take()) is not None:
        found += batch.lines
        buffer.settle(record(batch))
    assert sorted(found) == sorted(line(number) for number in range(on_disk + 100))
    assert buffer.stats().acknowledged == on_disk + 100
    buffer.put(line(200))
    assert buffer.give_up() == 1, "on disk again"
    assert buffer.stats().failed == 0


def test_what_is_in_memory_alone_fails_when_the_producer_closes(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    buffer = SpoolBuffer(Limits(), Spool(tmp_path / "file" / "spool"))
    buffer.put(line(1))
    buffer.put(line(2))
    assert lines_of(buffer) == [line(1), line(2)]
    buffer.put(line(3))
    assert buffer.give_up() == 0
    assert buffer.stats() == Stats(tracked=3, failed=3)


def test_a_folder_that_cannot_be_written_is_told_when_the_producer_is_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="name a folder on a local disk"):
        UsageProducer(NOWHERE, spool=tmp_path / "file" / "spool")
    with pytest.raises(ConfigurationError, match="max_bytes"):
        Spool(tmp_path, max_bytes=0)


def test_what_is_not_acknowledged_at_the_end_is_sent_by_the_next(kafka: str, prefix: str, tmp_path: Path) -> None:
    first = UsageProducer(NOWHERE, spool=tmp_path)
    ids = {first.track("t", "m") for _ in range(1_000)}
    assert first.close(0.1) == 1_000
    assert first.stats() == Stats(tracked=1_000, pending=1_000)
    create_topic(kafka, prefix)
    with UsageProducer(kafka, topic_prefix=prefix, spool=tmp_path) as second:
        assert second.flush(60) == 0
        assert second.stats() == Stats(recovered=1_000, acknowledged=1_000)
    assert sorted(event["id"] for event in events(kafka, prefix)) == sorted(ids)
    assert list(tmp_path.iterdir()) == []


def test_processes_that_share_a_folder_do_not_hurt_each_other(kafka: str, prefix: str, tmp_path: Path) -> None:
    create_topic(kafka, prefix)
    program = (
        "import os, sys\nfrom meterline import UsageProducer\n"
        "p = UsageProducer(source=sys.argv[1], spool=sys.argv[2])\n"
        "for n in range(20_000):\n    p.track('t', 'm', id=f'{sys.argv[1]}-{n}')\n"
        "    if n == 10_000 and sys.argv[1] == 'dies': os.kill(os.getpid(), 9)\n"
        "while p.flush(10): pass\np.close()\n"
    )
    environment = {**os.environ, "METERLINE_KAFKA": kafka, "METERLINE_TOPIC_PREFIX": prefix}
    apps = {
        name: subprocess.Popen([sys.executable, "-c", program, name, str(tmp_path)], env=environment)
        for name in ("dies", "one", "two")
    }
    assert [apps[name].wait(120) for name in apps] == [-9, 0, 0]
    with UsageProducer(kafka, topic_prefix=prefix, spool=tmp_path) as last:
        assert last.flush(60) == 0
    assert list(tmp_path.iterdir()) == []
    sent = {event["id"] for event in events(kafka, prefix)}
    assert sent == {f"{name}-{n}" for name in ("one", "two") for n in range(20_000)} | {
        f"dies-{n}" for n in range(10_001)
    }


def test_a_forked_child_has_a_file_of_its_own(kafka: str, prefix: str, tmp_path: Path) -> None:
    create_topic(kafka, prefix)
    with UsageProducer(kafka, topic_prefix=prefix, spool=tmp_path) as producer:
        producer.track("parent", "m")
        child = os.fork()
        if child == 0:
            for _ in range(100):
                producer.track("child", "m")
            os._exit(0)  # without a word to anyone
        assert os.waitpid(child, 0)[1] == 0
        producer.track("parent", "m")
        wait_until(lambda: producer.stats().recovered == 100, 30, "the child's events are found")
        assert producer.flush(30) == 0
        assert producer.stats() == Stats(tracked=2, recovered=100, acknowledged=102)
    assert len({event["id"] for event in events(kafka, prefix)}) == 102


def test_the_command_line_shows_and_sends_what_is_left(kafka: str, prefix: str, tmp_path: Path) -> None:
    create_topic(kafka, prefix)
    spool = tmp_path / "spool"
    producer = UsageProducer(NOWHERE, spool=spool)
    producer.track("t", "m")
    shown = run(str(spool))
    assert "in use by a producer that runs" in shown.stdout
    producer.close(0.1)
    shown = run(str(spool))
    assert shown.stdout.endswith("1 events wait for someone to send them\n")
    assert shown.returncode == 0
    sent = run(str(spool), "--send", METERLINE_KAFKA=kafka, METERLINE_TOPIC_PREFIX=prefix)
    assert (sent.stdout, sent.returncode) == ("1 sent, 0 failed, 0 left\n", 0)
    assert len(events(kafka, prefix)) == 1
    assert list(spool.iterdir()) == []
    assert run(str(spool), "--send").stdout == "nothing waits\n"
    assert "is no folder" in run(str(tmp_path / "missing")).stderr


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "meterline.spool", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
