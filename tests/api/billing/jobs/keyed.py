"""A job whose effect can be counted: a line of a file for each key, appended unless it is there."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Final

from meterline_api.billing.jobs.context import Outcome, RunContext
from meterline_schemas.errors import MeterlineError

KEYS: Final = tuple("abcdefgh")
MIDDLE: Final = 3


class Keyed:
    """What it does lies in ``folder``, and what it is to do: with a file ``hold`` it stands still in the middle.

    A file ``fail`` holds the error that it raises, a file ``problem`` what it could not do.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def __call__(self, run: RunContext) -> Outcome:
        missing = [key for key in KEYS if key not in self.kept(run)]
        if (self._folder / "fail").exists():
            raise MeterlineError((self._folder / "fail").read_text())
        if run.dry_run:
            return Outcome({"would_append": str(len(missing))})
        for key in missing:
            while key == KEYS[MIDDLE] and (self._folder / "hold").exists():
                await asyncio.sleep(0.01)
            if key not in self.kept(run):
                with self._file(run).open("a") as file:
                    file.write(f"{key} {os.getpid()}\n")
            await run.heartbeat()
        problem = self._folder / "problem"
        return Outcome({"appended": str(len(missing))}, [problem.read_text()] if problem.exists() else [])

    def kept(self, run: RunContext) -> dict[str, int]:
        """The keys of a run that are there, and the process that appended each."""
        return kept(self._file(run))

    def _file(self, run: RunContext) -> Path:
        return self._folder / f"{run.job}-{run.due:%Y%m%dT%H%M%S}"


def kept(path: Path) -> dict[str, int]:
    lines = path.read_text().splitlines() if path.exists() else []
    found = {line[0]: int(line[2:]) for line in lines}
    assert len(found) == len(lines), f"appended twice: {lines}"
    return found
