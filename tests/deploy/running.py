"""A `meterline up` under test, as a user starts it: a process, its lines, its exit code."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any, NamedTuple, Self
from unittest.mock import patch

import psutil
import pytest

from meterline_deploy.cli import main
from tests.support.ports import free_port
from tests.support.processes import run
from tests.support.streams import wait_until

PARTS = ("kafka", "topics", "clickhouse", "migrations", "streams", "sinks", "notifier", "api")
START_SECONDS = 150


def meterline(
    *arguments: str, folder: Path | None = None, more: Mapping[str, str] | None = None, text: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; with a PYTHONPATH in ``more``, in an interpreter that imports everything anew."""
    environment = {**os.environ, "COLUMNS": "200", **(more or {})}
    if "PYTHONPATH" in (more or {}):
        return subprocess.run(
            [sys.executable, "-m", "meterline_deploy", *arguments],
            env=environment, cwd=folder, input=text, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
    return run("meterline_deploy", *arguments, environment=environment, folder=folder, text=text)


class Said(NamedTuple):
    returncode: Any
    stdout: str
    stderr: str


def asked(*arguments: str, columns: int = 200) -> Said:
    """A command that ends before it does anything: the same, without a process of its own."""
    out, err = io.StringIO(), io.StringIO()
    with (
        patch.object(sys, "argv", ["meterline", *arguments]),
        patch.dict(os.environ, COLUMNS=str(columns)),
        redirect_stdout(out),
        redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    return Said(ended.value.code, out.getvalue(), err.getvalue())


class Up:
    """One data folder; ``start`` and ``end`` as often as a test likes. The ports stay the same."""

    def __init__(self, data: Path, *options: str, **environment: str) -> None:
        self.data = data
        self.ports = {"--kafka-port": free_port(), "--clickhouse-port": free_port(), "--api-port": free_port()}
        self._options = options
        self.environment = environment
        self._process: subprocess.Popen[str] | None = None
        self.lines: list[str] = []

    def command(self, data: Path | None = None) -> list[str]:
        ports = [text for option, port in self.ports.items() for text in (option, str(port))]
        return ["up", "--data", str(data or self.data), *ports, *self._options]

    def start(self) -> Self:
        """Start without waiting for anything."""
        self.lines = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "meterline_deploy", *self.command()],
            env={**os.environ, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        Thread(target=self._read, args=(self._process, self.lines), daemon=True).start()
        return self

    @staticmethod
    def _read(process: subprocess.Popen[str], lines: list[str]) -> None:
        assert process.stdout is not None
        with process.stdout:
            lines.extend(line.rstrip("\n") for line in iter(process.stdout.readline, ""))

    @property
    def process(self) -> subprocess.Popen[str]:
        assert self._process is not None
        return self._process

    def said(self, start: str, since: int = 0) -> bool:
        return any(line.startswith(start) for line in self.lines[since:])

    def wait_for(self, start: str, seconds: float = START_SECONDS, since: int = 0) -> None:
        """Wait for a line that starts so."""
        wait_until(
            lambda: self.said(start, since) or self.process.poll() is not None, seconds, f"{start!r} in {self.lines}"
        )
        assert self.said(start, since), self.lines

    def children(self) -> dict[str, psutil.Process]:
        """The parts' processes, by the module that each runs."""
        names = {
            "kafka.Kafka": "kafka",
            "meterline_deploy.embedded.kafka": "kafka",
            "meterline_deploy.embedded.clickhouse": "clickhouse",
            "meterline_streams": "streams",
            "meterline_sinks": "sinks",
            "meterline_sinks.notifier": "notifier",
            "meterline_api": "api",
        }
        found = {}
        for child in psutil.Process(self.process.pid).children():
            for argument in child.cmdline():
                if argument in names:
                    found[names[argument]] = child
        return found

    def end(self, number: signal.Signals = signal.SIGTERM, seconds: float = 15) -> int:
        """Ask it to stop; everything has to end within the time that is promised."""
        children = list(self.children().values())
        self.process.send_signal(number)
        code = self.process.wait(seconds)
        assert [child for child in children if child.is_running()] == []
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()  # the parts end with it
            self._process.wait()
