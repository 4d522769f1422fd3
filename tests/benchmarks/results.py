"""What a part found: figures, the check that they are of correct work, and notes. Kept as JSON beside the page."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct


class CheckFailedError(Exception):
    """A part's outcome is not what an independent count says: its figures are worth nothing."""


class SkippedError(Exception):
    """A part cannot run here; the text says what is missing."""


class Figure(Struct, frozen=True):
    """One measured value. ``unit`` is empty for a plain number."""

    key: str
    label: str
    value: float
    unit: str = ""


class Result(Struct, kw_only=True):
    """A part's outcome. ``events`` is how many were measured; ``run`` names the run that it belongs to.

    ``check`` says what was compared and found equal. ``failed`` and ``skipped`` give the reason where there is one.
    """

    part: str
    events: int = 0
    figures: list[Figure] = []
    check: str = ""
    notes: list[str] = []
    tables: list[str] = []  # Markdown
    failed: str = ""
    skipped: str = ""
    run: str = ""
    command: str = ""

    def get(self, key: str) -> float | None:
        return next((figure.value for figure in self.figures if figure.key == key), None)


class Store(Struct):
    """All parts' latest results, and the machine that the latest run was on."""

    machine: dict[str, str] = {}
    results: dict[str, Result] = {}

    def get(self, part: str, key: str) -> float | None:
        """A figure, or None where the part has not run, failed or has no such figure."""
        result = self.results.get(part)
        return None if result is None or result.failed else result.get(key)


def load(path: Path) -> Store:
    """What earlier runs left, or nothing."""
    return msgspec.json.decode(path.read_bytes(), type=Store) if path.exists() else Store()


def save(path: Path, store: Store) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(store), indent=1) + b"\n")
