"""Lines of ``usage.events`` and the verdicts on them. Pure.

A line is a non-blank line of a record; a record that is one JSON value over several lines is one line. Every line
has exactly one verdict: accepted, rejected, or forwarded to the partition that it belongs to, which the forwarded
record names in its ``meterline-origin`` header.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

ORIGIN: Final = "meterline-origin"
KINDS: Final = ("accepted", "rejected", "forwarded")
_EVER: Final = 2**63 - 1


def count_lines(value: bytes | None) -> tuple[int, bool]:
    """The number of lines of a record, and whether all of them may be one JSON value, and so one line."""
    if not value:
        return 0, False
    lines = [line for line in value.split(b"\n") if line.strip()]
    return len(lines), len(lines) > 1 and not _is_json(lines[0]) and _is_json(value)


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def origins(headers: Sequence[tuple[str, Any]] | None) -> Iterator[tuple[int, int, int]]:
    """``(partition, offset, line)`` of the lines that a forwarded record came from.

    Headers that the stream did not write name nothing: anybody may produce to the topic.
    """
    for name, value in headers or ():
        if name != ORIGIN or not value:
            continue
        try:
            partition, offset, numbers = bytes(value).decode("ascii").split(":")
            found = [(int(partition), int(offset), int(number)) for number in numbers.split(",")]
        except ValueError:
            continue
        yield from found


@dataclass
class Source:
    """The records of one partition of ``usage.events``, in the order of their offsets."""

    offsets: array[int] = field(default_factory=lambda: array("q"))
    counts: array[int] = field(default_factory=lambda: array("q"))
    one_value: array[int] = field(default_factory=lambda: array("q"))  # offsets of records that may be one line

    def add(self, offset: int, value: bytes | None) -> None:
        count, one_value = count_lines(value)
        self.offsets.append(offset)
        self.counts.append(count)
        if one_value:
            self.one_value.append(offset)


@dataclass
class Places:
    """Where verdicts of one kind fell: offsets and lines, position by position."""

    offsets: array[int] = field(default_factory=lambda: array("q"))
    lines: array[int] = field(default_factory=lambda: array("q"))

    def add(self, offset: int, line: int, lines: int = 1) -> None:
        """A verdict on ``lines`` lines from ``line`` on."""
        for number in range(line, line + lines):
            self.offsets.append(offset)
            self.lines.append(number)

    def between(self, start: int, end: int) -> tuple[Ints, Ints]:
        """Those on offsets from ``start`` to before ``end``."""
        offsets, lines = _ints(self.offsets), _ints(self.lines)
        kept = (offsets >= start) & (offsets < end)
        return offsets[kept], lines[kept]

    def distinct(self) -> Places:
        """Each place once: a forward may be delivered twice."""
        if not self.offsets:
            return self
        pairs = np.unique(np.stack((_ints(self.offsets), _ints(self.lines))), axis=1)
        return Places(array("q", pairs[0].tobytes()), array("q", pairs[1].tobytes()))


@dataclass(frozen=True)
class Wrong:
    """A line whose verdicts are not exactly one, or a verdict on a line that does not exist."""

    offset: int
    line: int
    verdicts: tuple[str, ...]
    exists: bool


@dataclass(frozen=True)
class Tally:
    """The lines of a range of offsets, and how many of them each kind of verdict fell on."""

    lines: int
    verdicts: dict[str, int]
    wrong: list[Wrong]


def tally(source: Source, verdicts: dict[str, Places], start: int, end: int, *, newest: bool = False) -> Tally:
    """Hold the verdicts against the lines of the records from offset ``start`` to before ``end``.

    ``newest``: nothing after ``end`` is judged, so that an accepted or rejected line there is wrong. A forward is sent
    before its checkpoint ends and may lie there.
    """
    places = {kind: verdicts[kind].between(start, _EVER if newest and kind != "forwarded" else end) for kind in KINDS}
    offsets, counts = _ints(source.offsets), _ints(source.counts)
    kept = (offsets >= start) & (offsets < end)
    offsets, counts = offsets[kept], counts[kept].copy()
    _settle_one_values(offsets, counts, _ints(source.one_value), places.values())
    starts = np.concatenate((np.zeros(1, np.int64), np.cumsum(counts)))
    total = int(starts[-1])
    sums = np.zeros(total, np.int64)
    wrong: dict[tuple[int, int], list[str]] = {}
    nowhere: dict[tuple[int, int], list[str]] = {}
    positions = {}
    for kind, (at, line) in places.items():
        position, exists = _positions(offsets, counts, starts, at, line)
        positions[kind] = np.bincount(position[exists], minlength=total)
        sums += positions[kind]
        for offset, number in zip(at[~exists].tolist(), line[~exists].tolist(), strict=True):
            nowhere.setdefault((offset, number), []).append(kind)
    for position_of_wrong in np.flatnonzero(sums != 1).tolist():
        record = int(np.searchsorted(starts, position_of_wrong, side="right")) - 1
        key = (int(offsets[record]), position_of_wrong - int(starts[record]))
        wrong[key] = [kind for kind in KINDS for _ in range(int(positions[kind][position_of_wrong]))]
    return Tally(
        lines=total,
        verdicts={kind: len(at) for kind, (at, _line) in places.items()},
        wrong=[Wrong(*key, tuple(kinds), True) for key, kinds in wrong.items()]
        + [Wrong(*key, tuple(kinds), False) for key, kinds in nowhere.items()],
    )


def _settle_one_values(offsets: Ints, counts: Ints, one_value: Ints, places: Iterable[tuple[Ints, Ints]]) -> None:
    """One JSON value over several lines is one line if it was read as a whole: no verdict on a later line of it."""
    if not len(one_value):
        return
    later = np.concatenate([at[line > 0] for at, line in places])
    whole = one_value[~np.isin(one_value, later)]
    counts[np.isin(offsets, whole)] = 1


def _positions(offsets: Ints, counts: Ints, starts: Ints, at: Ints, line: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """The place of each verdict in the order of all lines, and whether there is such a line."""
    if not len(offsets):
        return np.zeros(len(at), np.int64), np.zeros(len(at), np.bool_)
    record = np.minimum(np.searchsorted(offsets, at), len(offsets) - 1)
    exists = (offsets[record] == at) & (line >= 0) & (line < counts[record])
    return starts[record] + line, exists


def _ints(values: array[int]) -> Ints:
    return np.frombuffer(values, np.int64) if len(values) else np.zeros(0, np.int64)
