"""Where scheduled exports are written to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol


@dataclass(frozen=True)
class Folder:
    path: Path


@dataclass(frozen=True)
class Bucket:
    """``prefix`` is empty or ends with a slash."""

    name: str
    prefix: str


Place = Folder | Bucket


class Store(Protocol):
    """Files by their names, such as ``20261201T060000Z/journal.csv``. Whoever reads one finds all of it or none.

    Every method raises ``UnavailableError`` where the place cannot be reached or written.
    """

    def runs(self) -> list[str]:
        """The first parts of the names that there are, in order."""
        ...

    def read(self, name: str) -> bytes | None:
        """None: there is none."""
        ...

    def write(self, name: str, content: bytes) -> None: ...

    def take(self, name: str, content: BinaryIO) -> None:
        """Write what a file has from where it stands."""
        ...
