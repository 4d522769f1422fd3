"""A server under test: started, stopped, killed, frozen, woken, started again on the same data."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from meterline_deploy.tether import tethered

START_SECONDS = 120.0  # the first start of all downloads Kafka
STOP_SECONDS = 20.0


class Server(Protocol):
    """What tests may do to a server. After any of these, ``restore`` makes it answer again."""

    @property
    def pid(self) -> int: ...

    def start(self) -> None:
        """Start it where it is not running; it answers on return."""

    def stop(self) -> None:
        """End it as an operator would."""

    def kill(self) -> None:
        """End it as a power cut would."""

    def pause(self) -> None:
        """Freeze it: connections stay open and nothing answers."""

    def resume(self) -> None: ...

    def restore(self) -> None:
        """Wake or start it where it does not run."""

    def remove(self) -> None:
        """End it for good, with all that it kept."""


class Process(ABC):
    """A server that is a process of ours. It ends when pytest ends, even when pytest is killed."""

    def __init__(self, name: str, folder: Path) -> None:
        self._name = name
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._paused = False

    @abstractmethod
    def command(self) -> Sequence[str]: ...

    @abstractmethod
    def ready(self) -> bool:
        """Whether it answers now."""

    @property
    def log(self) -> Path:
        return self._folder / f"{self._name}.log"

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self._name} is not running"
        return self._process.pid

    def start(self) -> None:
        if self._process is not None:
            return
        environment = {name: value for name, value in os.environ.items() if not name.startswith("METERLINE_")}
        environment |= {name: os.environ[name] for name in ("METERLINE_CACHE",) if name in os.environ}
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(
                tethered([sys.executable, "-m", *self.command()]),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=environment,
                start_new_session=True,  # Ctrl-C is for pytest alone; its fixtures end this in order
            )
        deadline = time.monotonic() + START_SECONDS
        while not self.ready():
            ended = self._process.poll()
            if ended is not None or time.monotonic() > deadline:
                self.kill()
                what = "did not answer" if ended is None else f"ended with exit code {ended}"
                tail = self.log.read_text(errors="replace")[-3000:]
                raise AssertionError(f"{self._name} {what}; its log ends:\n{tail}")
            time.sleep(0.05)

    def stop(self) -> None:
        if self._process is None:
            return
        self.resume()
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"{self._name} did not stop within {STOP_SECONDS:.0f} s of SIGTERM") from None
        finally:
            self._process = None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            self._paused = False

    def pause(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)
        self._paused = True

    def resume(self) -> None:
        if self._process is not None and self._paused:
            os.kill(self.pid, signal.SIGCONT)
        self._paused = False

    def restore(self) -> None:
        self.resume()
        if self._process is not None and self._process.poll() is not None:
            self._process = None
        self.start()

    def remove(self) -> None:
        self.kill()
        # tens of thousands of files are most of a minute's work: nobody waits for it
        subprocess.run(["sh", "-c", 'nice rm -rf "$0" &', str(self._folder)], start_new_session=True, check=True)
