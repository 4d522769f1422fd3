"""Parts: started, watched, started again, stopped in order; with processes that are small and real."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import psutil
import pytest

from meterline_deploy.errors import PartFailedError
from meterline_deploy.logs import KEPT, cut, last_line, open_log
from meterline_deploy.part import Part, Probe, read_health
from meterline_deploy.stopping import StoppedError, Stopping
from meterline_deploy.supervisor import LONGEST_WAIT, Supervisor, wait_after
from meterline_deploy.tether import tethered
from tests.support.streams import wait_until

SLEEPER = "import time; print('awake', flush=True); time.sleep(600)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
)


class Stage:
    """A supervisor, what it said, and a flag to stop it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stopping = Stopping()
        self.said: list[str] = []
        self.supervisor = Supervisor(folder / "logs", self.stopping, self.said.append)

    def part(self, name: str, code: str, grace: float = 5.0) -> Part:
        """Ready once it has printed something."""
        log = self.folder / "logs" / f"{name}.log"
        return Part(name, [sys.executable, "-c", code], lambda: log.exists() and log.stat().st_size > 0, grace=grace)

    def children(self) -> list[psutil.Process]:
        return psutil.Process().children()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    made.stopping.asked = 2
    made.supervisor.stop(["a", "b"])


def test_a_part_that_dies_is_started_again_and_that_is_said(stage: Stage) -> None:
    stage.supervisor.start(stage.part("a", SLEEPER))
    stage.supervisor.wait("a")
    first = newest(stage)
    first.kill()

    def back() -> bool:
        stage.supervisor.tick()
        return "a is back" in stage.said

    wait_until(back, 20, "a back")
    log = stage.folder / "logs" / "a.log"
    assert stage.said == [f"a was killed by SIGKILL: awake; starting it again in 0.5 s (log: {log})", "a is back"]
    assert newest(stage).pid != first.pid


def test_a_part_that_never_starts_is_given_up_with_its_last_words(stage: Stage) -> None:
    stage.supervisor.start(stage.part("b", "import sys; sys.exit('no such setting')"))
    unready = Part("a", [sys.executable, "-c", "import sys; sys.exit('no such setting')"], lambda: False)
    stage.supervisor.start(unready)
    with pytest.raises(PartFailedError, match=r"a does not start, it ended with exit code 1: no such setting; its log"):
        stage.supervisor.wait("a")
    assert sum(line.startswith("a ended") for line in stage.said) == 2


def test_a_part_that_does_not_listen_to_sigterm_is_killed(stage: Stage) -> None:
    stage.supervisor.start(stage.part("a", STUBBORN, grace=0.2))
    stage.supervisor.wait("a")
    process = newest(stage)
    stage.supervisor.stop(["a"])
    assert not process.is_running()
    assert stage.said == ["a did not stop in time and was killed; nothing is lost by that"]


def test_parts_end_in_the_order_that_is_given(stage: Stage) -> None:
    ends = stage.folder / "ends"
    code = (
        "import signal, sys, time\n"
        f"signal.signal(signal.SIGTERM, lambda *_: (open({str(ends)!r}, 'a').write(sys.argv[1]), sys.exit(0)))\n"
        "print('awake', flush=True)\ntime.sleep(600)"
    )
    for name in ("a", "b", "b-2"):
        part = stage.part(name, code)
        stage.supervisor.start(Part(name, [*part.command, name], part.ready))
        stage.supervisor.wait(name)
    stage.supervisor.stop(["b", "a"])
    assert ends.read_text() in ("bb-2a", "b-2ba")


def test_waiting_ends_at_once_when_stopping_is_asked_for(stage: Stage) -> None:
    stage.supervisor.start(Part("a", [sys.executable, "-c", SLEEPER], lambda: False))
    stage.stopping.asked = 1
    with pytest.raises(StoppedError):
        stage.supervisor.wait("a")
    with pytest.raises(StoppedError):
        stage.supervisor.watch()


def test_waits_between_starts_grow_to_a_limit() -> None:
    assert [wait_after(deaths) for deaths in (1, 2, 3, 4)] == [0.5, 1, 2, 4]
    assert wait_after(1000) == LONGEST_WAIT


def test_a_tethered_process_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    child = f"import os, time; open({str(note)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    parent = (
        "import subprocess, sys, time\nfrom meterline_deploy.tether import tethered\n"
        f"subprocess.Popen(tethered([sys.executable, '-c', {child!r}]))\ntime.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", parent])
    wait_until(lambda: note.exists() and note.read_text() != "", 20, "the child at work")
    pid = int(note.read_text())
    process.kill()
    process.wait()
    wait_until(lambda: not psutil.pid_exists(pid), 10, "the child gone")


def test_a_parent_that_is_gone_already_is_noticed() -> None:
    command = tethered([sys.executable, "-c", "print('ran')"])
    command[command.index(str(os.getpid()))] = "1"
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")


def test_work_that_blocks_is_left_behind_when_stopping_is_asked_for() -> None:
    stopping = Stopping()
    never = subprocess.Popen([sys.executable, "-c", SLEEPER], stdout=subprocess.DEVNULL)
    Thread(target=lambda: setattr(stopping, "asked", 1)).start()
    with pytest.raises(StoppedError):
        stopping.during(never.wait, lambda: None)
    never.kill()
    assert never.wait() == -signal.SIGKILL


def test_work_gives_its_result_or_its_error() -> None:
    stopping = Stopping()
    assert stopping.during(lambda: 7, lambda: None) == 7
    with pytest.raises(ZeroDivisionError):
        stopping.during(lambda: 1 // 0, lambda: None)


def test_a_log_is_cut_when_it_grows_and_older_pieces_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.log"
    with open_log(path) as log:
        for number in range(KEPT + 2):
            log.write(b"%d" % number * 100)
            log.flush()
            assert cut(path, limit=99)
            assert not cut(path, limit=99)
        log.write(b"after")
    assert path.read_bytes() == b"after"
    assert [path.with_name(f"a.log.{n}").read_bytes()[:1] for n in (1, 2)] == [b"3", b"2"]
    assert not path.with_name("a.log.3").exists()


def test_last_words_are_those_of_the_last_start(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("old words\n")
    start = path.stat().st_size
    assert last_line(path, start) == ""
    path.write_text("old words\nnew words\n\n  \n")
    assert last_line(path, start) == "new words"
    assert last_line(tmp_path / "none") == ""


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"live":true,"ready":true,"progressing":true}', Probe(True, "")),
        (b'{"ready":true,"progressing":false}', Probe(True, "makes no progress")),
        (b'{"ready":true,"progressing":false,"problem":"stuck"}', Probe(True, "stuck")),
        (b'{"ready":true,"progressing":false,"streams":{"problem":"still"}}', Probe(True, "still")),
        (b'{"ready":false,"progressing":true}', Probe(False, "is not ready")),
        (b"<html>", Probe(False, "answers with something that is no health report")),
        (b"[]", Probe(False, "answers with something that is no health report")),
    ],
)
def test_health_is_read_for_what_is_wrong(body: bytes, expected: Probe) -> None:
    assert read_health(body) == expected


def newest(stage: Stage) -> psutil.Process:
    return max(stage.children(), key=lambda child: (child.create_time(), child.pid))
