"""The demo, ended before its end: nothing of it stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.streams import wait_until


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_demo_that_is_told_to_end_stops_what_it_started(number: signal.Signals, tmp_path: Path) -> None:
    environment = os.environ | {"TMPDIR": str(tmp_path), "KEEP": ""}
    demo = subprocess.Popen(
        [sys.executable, "-m", "examples.demo"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        wait_until(lambda: len(started(tmp_path)) >= 3, 60, "`meterline up` and parts of it")
        demo.send_signal(number)
        said, _ = demo.communicate(timeout=60)
        assert demo.returncode == 1
        assert said.decode().endswith("interrupted\n")
        assert [process.cmdline() for process in started(tmp_path)] == []
        assert list(tmp_path.iterdir()) == []
    finally:
        demo.kill()
        for process in started(tmp_path):
            process.kill()


def started(folder: Path) -> list[psutil.Process]:
    """The processes that work on the demo's data."""
    found = psutil.process_iter(["cmdline"])
    return [process for process in found if any(str(folder) in word for word in process.info["cmdline"] or ())]
