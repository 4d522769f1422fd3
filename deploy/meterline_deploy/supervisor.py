"""Parts as child processes: started, watched, started again when they die, stopped in order.

All of it happens in the main thread: children are tied to the thread that starts them (``tether``), so that they end
when ``meterline up`` ends, even by kill -9.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from meterline_deploy.errors import PartFailedError
from meterline_deploy.logs import cut, last_line, open_log
from meterline_deploy.part import Part, probe
from meterline_deploy.stopping import LOOK_SECONDS, Stopping
from meterline_deploy.tether import tethered

Say = Callable[[str], None]

START_SECONDS: Final = 120.0
ATTEMPTS: Final = 3  # deaths before it was ever ready; afterwards it is started again for ever
FIRST_WAIT: Final = 0.5
LONGEST_WAIT: Final = 30.0
STEADY_SECONDS: Final = 60.0  # after so long a life the next wait is the first again
STOP_SECONDS: Final = 14.0  # for all parts together
LOOK_AT_HEALTH_SECONDS: Final = 5.0
LOOK_AT_LOGS_SECONDS: Final = 10.0


class Child:
    """A part's process, and the ones before it."""

    def __init__(self, part: Part, log: Path) -> None:
        self.part = part
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None
        self.deaths = 0  # since it was last steady
        self.was_ready = False
        self.ready = False
        self.problem = ""
        self.started = 0.0
        self.again_at = 0.0
        self._log_start = 0

    def start(self) -> None:
        with open_log(self.log) as out:
            self._log_start = out.tell()
            self.process = subprocess.Popen(
                tethered(list(self.part.command)),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, **self.part.environment},
                start_new_session=True,  # Ctrl-C reaches `meterline up` alone, which stops the parts in order
            )
        self.started = time.monotonic()
        self.ready = False

    def wait_before_next(self) -> float:
        """Seconds to wait after another death."""
        if time.monotonic() - self.started > STEADY_SECONDS:
            self.deaths = 0
        self.deaths += 1
        return wait_after(self.deaths)

    def how_it_ended(self) -> str:
        code = self.process.returncode if self.process is not None else 0
        ended = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        said = last_line(self.log, self._log_start)
        return f"{ended}: {said}" if said else ended


def wait_after(deaths: int) -> float:
    """Seconds to wait after so many deaths in a row."""
    return float(min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(deaths - 1, 16)))


class Supervisor:
    """The children, in the order in which they were started. ``say`` is told what happens to them."""

    def __init__(self, logs: Path, stopping: Stopping, say: Say) -> None:
        self._logs = logs
        self._stopping = stopping
        self._say = say
        self._children: dict[str, Child] = {}
        self._health_at = time.monotonic()
        self._logs_at = time.monotonic()

    def start(self, part: Part) -> None:
        child = Child(part, self._logs / f"{part.name}.log")
        self._children[part.name] = child
        child.start()

    def wait(self, name: str) -> float:
        """Wait until a part is ready; returns how many seconds after its start that was.

        Raises:
            PartFailedError: it died too often or took too long.
            StoppedError: stopping was asked for.
        """
        child = self._children[name]
        begun = child.started
        while not child.was_ready:
            self._stopping.wait(LOOK_SECONDS)
            self.tick()
            if child.deaths >= ATTEMPTS:
                raise PartFailedError(name, f"does not start, it {child.how_it_ended()}", child.log)
            if time.monotonic() - begun > START_SECONDS:
                raise PartFailedError(name, f"was not ready within {START_SECONDS:.0f} s", child.log)
        return time.monotonic() - begun

    def watch(self) -> None:
        """Keep the parts alive until stopping is asked for. Raises StoppedError then."""
        while True:
            self._stopping.wait(0.1)
            self.tick()

    def tick(self) -> None:
        """One look at everything."""
        now = time.monotonic()
        for child in self._children.values():
            self._look(child, now)
        if now - self._health_at > LOOK_AT_HEALTH_SECONDS:
            self._health_at = now
            self._look_at_health()
        if now - self._logs_at > LOOK_AT_LOGS_SECONDS:
            self._logs_at = now
            for child in self._children.values():
                cut(child.log)

    def _look(self, child: Child, now: float) -> None:
        name = child.part.name
        if child.process is None:
            if now >= child.again_at:
                child.start()
        elif child.process.poll() is not None:
            wait = child.wait_before_next()
            if child.deaths < ATTEMPTS or child.was_ready:
                self._say(f"{name} {child.how_it_ended()}; starting it again in {wait:g} s (log: {child.log})")
                child.process = None
                child.again_at = now + wait
        elif not child.ready and child.part.ready():
            child.ready = True
            if child.was_ready:
                self._say(f"{name} is back")
            child.was_ready = True

    def _look_at_health(self) -> None:
        for child in self._children.values():
            if not child.ready or not child.part.health:
                continue
            problem = probe(child.part.health).problem
            if problem != child.problem:
                self._say(f"{child.part.name}: {problem}" if problem else f"{child.part.name} is well again")
                child.problem = problem

    def stop(self, order: Iterable[str]) -> None:
        """End all parts, one kind after the other; those that do not end in their time are killed.

        ``order`` names kinds; a part belongs to a kind by its name, up to the first dash.
        """
        deadline = time.monotonic() + STOP_SECONDS
        for kind in order:
            members = [child for name, child in self._children.items() if name.partition("-")[0] == kind]
            self._end([(child.part, child.process) for child in members if child.process is not None], deadline)

    def _end(self, running: list[tuple[Part, subprocess.Popen[bytes]]], deadline: float) -> None:
        for _part, process in running:
            process.terminate()
        for part, process in running:
            until = min(deadline, time.monotonic() + part.grace)
            while process.poll() is None and time.monotonic() < until and not self._stopping.urgent:
                time.sleep(0.02)
            if process.poll() is None:
                process.kill()
                process.wait()
                self._say(f"{part.name} did not stop in time and was killed; nothing is lost by that")
