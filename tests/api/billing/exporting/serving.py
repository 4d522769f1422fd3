"""``python -m tests.api.billing.exporting.serving``: the API, which dies as by ``kill -9`` at a step of an export.

The file METERLINE_TEST_DIE names the step: ``before journal.csv``, ``within`` or ``after`` it. It is there once.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import BinaryIO, cast

from meterline_api import app
from meterline_api.__main__ import main
from meterline_api.billing.exporting.places import Store
from meterline_api.billing.exporting.settings import ExportSettings
from meterline_api.billing.exporting.stores import store_of

DIE = Path(os.environ["METERLINE_TEST_DIE"])


def reach(step: str) -> None:
    if DIE.exists() and DIE.read_text() == step:
        os.kill(os.getpid(), signal.SIGKILL)


class Broken:
    """A file that gives its first bytes and no more."""

    def __init__(self, content: BinaryIO) -> None:
        self._content = content
        self._given = False

    def read(self, _size: int = -1) -> bytes:
        if self._given:
            reach("within " + DIE.read_text().partition(" ")[2])
        self._given = True
        return self._content.read(100)


class Mortal:
    """A store whose steps can be the last."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def runs(self) -> list[str]:
        return self._store.runs()

    def read(self, name: str) -> bytes | None:
        return self._store.read(name)

    def write(self, name: str, content: bytes) -> None:
        reach(f"before {name.rpartition('/')[2]}")
        self._store.write(name, content)
        reach(f"after {name.rpartition('/')[2]}")

    def take(self, name: str, content: BinaryIO) -> None:
        last = name.rpartition("/")[2]
        reach(f"before {last}")
        within = DIE.exists() and DIE.read_text() == f"within {last}"
        self._store.take(name, cast(BinaryIO, Broken(content)) if within else content)
        reach(f"after {last}")


def mortal(settings: ExportSettings) -> Store | None:
    store = store_of(settings)
    return None if store is None else Mortal(store)


setattr(app, "store_of", mortal)  # noqa: B010
sys.exit(main())
