"""The processes of the demo: Meterline itself, and what the demo runs beside it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from rich.console import Console

DEFAULT_PORTS: Final = {"--kafka-port": 9092, "--clickhouse-port": 8123, "--api-port": 3000}

console = Console()


class DemoError(Exception):
    """A step failed; its text says which and what to look at."""


def step(text: str) -> None:
    console.print(f"[bold]== {text}[/bold]", highlight=False)


def say(text: str) -> None:
    console.print("   " + text, highlight=False)


class Meterline:
    """``meterline up`` on a folder, and commands and requests to it. Ports that are taken are replaced by free ones.

    Raises:
        DemoError: it did not start, or a command or request failed.
    """

    def __init__(self, data: Path, environment: Mapping[str, str]) -> None:
        self.data = data
        options = [
            str(word) for name, port in DEFAULT_PORTS.items() for word in (name, port if free(port) else free_port())
        ]
        self._up = subprocess.Popen(
            command("up", "--data", str(data), *options),
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # Ctrl-C is for the demo, which stops this in order
        )
        try:
            self._wait_until_ready()
            self.environment = self._settings(environment)
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self) -> int:
        return self._up.pid

    def stop(self) -> None:
        step("stopping")
        if self._up.poll() is None:
            self._up.send_signal(signal.SIGTERM)
        try:
            self._up.wait(30)
        except subprocess.TimeoutExpired:
            self._up.kill()

    def run(self, *words: str, check: bool = True) -> int:
        """``meterline WORDS``, its output shown."""
        done = subprocess.run(command(*words, "--data", str(self.data)), env=self.environment, check=False).returncode
        if check and done != 0:
            raise DemoError(f"meterline {' '.join(words)} failed")
        return done

    def run_briefly(self, *words: str, line: int = -1) -> None:
        """The same, of whose output one line is shown."""
        words_of = command(*words, "--data", str(self.data))
        done = subprocess.run(words_of, env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise DemoError(f"meterline {' '.join(words)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        say(done.stdout.strip().splitlines()[line])

    def sql(self, statement: str) -> list[dict[str, Any]]:
        words = command("sql", "--format", "JSONEachRow", statement, "--data", str(self.data))
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise DemoError(f"ClickHouse cannot be asked: {done.stderr.strip()}")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def get(self, path: str) -> bytes:
        request = urllib.request.Request(
            f"{self.environment['METERLINE_API_URL']}{path}",
            headers={"Authorization": f"Bearer {self.environment['METERLINE_API_KEY']}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                raise DemoError(f"GET {path}: {error.read().decode()[:500]}") from None

    def _wait_until_ready(self) -> None:
        assert self._up.stdout is not None  # noqa: S101
        for line in self._up.stdout:
            say(line.rstrip())
            if line.startswith("ready"):
                return
        raise DemoError(f"meterline up ended with exit code {self._up.wait()}; its logs are in {self.data / 'logs'}")

    def _settings(self, environment: Mapping[str, str]) -> dict[str, str]:
        """What ``meterline env`` prints, as a dict."""
        words = command("env", "--data", str(self.data))
        lines = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        found = {**os.environ, **environment}
        for line in lines.splitlines():
            if line.startswith("export "):
                name, _, value = line.removeprefix("export ").partition("=")
                found[name] = value.strip("'\"")
        return found


@contextmanager
def beside(words: Sequence[str], environment: Mapping[str, str], log: Path) -> Iterator[None]:
    """A process that runs while the block does."""
    with log.open("wb") as written:
        process = subprocess.Popen(words, env=dict(environment), stdout=written, stderr=written, start_new_session=True)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


def wait_for(found: Callable[[], bool], what: str, seconds: float = 30) -> None:
    """Until it is so.

    Raises:
        DemoError: it is not, after so long.
    """
    deadline = time.monotonic() + seconds
    while not found():
        if time.monotonic() > deadline:
            raise DemoError(what)
        time.sleep(0.1)


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "meterline_deploy", *words]


def free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
