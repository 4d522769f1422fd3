"""Processes of ours as ``python -m`` starts them, without what it takes to import them.

Each is forked from one process that has everything imported: a second of computing less for each of hundreds. From the
fork on it is a process like any other: an id, an environment, files and an exit code of its own. That a new
interpreter starts them as well is proved where ``meterline up`` is tested, and with ``fresh``.
"""

from __future__ import annotations

import atexit
import faulthandler
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from multiprocessing.connection import wait
from pathlib import Path

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.support.preloaded"])
_started: list[Started] = []
_lock = threading.Lock()  # two threads that ask at once how a process ended would share one answer


class Started:
    """What ``subprocess.Popen`` is, as far as tests use it."""

    def __init__(
        self,
        module: str,
        *arguments: str,
        environment: Mapping[str, str],
        out: Path,
        err: Path | None = None,
        folder: Path | None = None,
        text: Path | None = None,
    ) -> None:
        self._command = [module, *arguments]
        files = (text or Path(os.devnull), out, err or out)
        for file in files:
            file.touch()  # as a shell would: whoever looks at it at once finds it empty
        self.name, self._out = module, out
        self._process = FORKS.Process(
            target=_become, args=(self._command, dict(environment), folder or Path.cwd(), files), daemon=True
        )
        with _lock:
            self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid
        _started.append(self)

    def last_words(self) -> str:
        """The end of what it wrote, as far as that is kept."""
        return self._out.read_text(errors="replace")[-3000:] if self._out.exists() else ""

    def poll(self) -> int | None:
        with _lock:
            return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        wait([self._process.sentinel], timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(self._command, timeout or 0)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def started() -> list[Started]:
    """All that run, and those that ended since ``forget_ended``."""
    return list(_started)


def forget_ended() -> None:
    _started[:] = [each for each in _started if each.poll() is None]


def run(
    module: str,
    *arguments: str,
    environment: Mapping[str, str],
    folder: Path | None = None,
    text: str | None = None,
    seconds: float = 120,
) -> subprocess.CompletedProcess[str]:
    """A process to its end, with what it wrote."""
    with tempfile.TemporaryDirectory() as name:
        given, out, err = (Path(name) / each for each in ("in", "out", "err"))
        given.write_text(text or "")
        process = Started(module, *arguments, environment=environment, out=out, err=err, folder=folder, text=given)
        try:
            code = process.wait(seconds)
        finally:
            process.kill()
        return subprocess.CompletedProcess(
            [module, *arguments], code, out.read_text(errors="replace"), err.read_text(errors="replace")
        )


def _become(command: list[str], environment: dict[str, str], folder: Path, files: tuple[Path, Path, Path]) -> None:
    """Run a module to its end, as the interpreter would, and end with its exit code."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for number, path in enumerate(files):
        given = os.open(path, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(given, number)
        os.close(given)
    sys.stdin = open(0)  # noqa: SIM115
    sys.stdout, sys.stderr = open(1, "w"), open(2, "w", buffering=1, errors="backslashreplace")  # noqa: SIM115
    faulthandler.enable(2)
    sys.argv = list(command)
    if command[0] != "meterline_api":
        from tests.support.preloaded import forget_metrics

        forget_metrics()
    code: object = 0
    try:
        runpy.run_module(command[0], run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit((code or 0) & 0xFF)
