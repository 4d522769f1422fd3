"""Whether entries follow from one another: what was edited, removed, put in or moved. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from meterline_schemas.audit.entry import GENESIS, AuditEntry, decode


class Kind(StrEnum):
    """What is wrong at a place in the log."""

    UNREADABLE = "unreadable"  # a record that is no entry
    EDITED = "edited"  # it does not have the hash that it says
    REMOVED = "removed"  # entries are missing before it
    MISPLACED = "misplaced"  # its number was there before: put in, repeated or moved
    UNLINKED = "unlinked"  # it follows from another entry than the one before it


@dataclass(frozen=True)
class Break:
    """A place where the chain does not hold. ``seq`` is 0 where there is none; ``offset`` is that of the record."""

    kind: Kind
    seq: int
    offset: int
    detail: str


class Chain:
    """Entries in the order of the log, taken one by one. ``head`` is the last one that is in its place.

    ``start`` says that nothing may lie before the first one that is added; without it the chain begins anywhere.
    """

    def __init__(self, *, start: bool = True) -> None:
        self.head: AuditEntry | None = None
        self._start = start

    @property
    def seq(self) -> int:
        return 0 if self.head is None else self.head.seq

    @property
    def hash(self) -> str:
        return GENESIS if self.head is None else self.head.hash

    def add(self, offset: int, value: bytes | None) -> list[Break]:
        """Take the record at ``offset``; what is wrong with it."""
        try:
            entry = decode(value or b"")
        except ValueError as error:
            return [Break(Kind.UNREADABLE, 0, offset, f"it is no entry: {error}")]
        return self.follow(offset, entry)

    def follow(self, offset: int, entry: AuditEntry) -> list[Break]:
        """As ``add``, for an entry that was read already."""
        found: list[Break] = []

        def wrong(kind: Kind, detail: str) -> None:
            found.append(Break(kind, entry.seq, offset, detail))

        if entry.hash != entry.computed_hash():
            wrong(Kind.EDITED, "its content does not have the hash that it was written with")
        if self.head is None and not self._start:
            self.head = entry
            return found
        if entry.seq <= self.seq:
            wrong(Kind.MISPLACED, f"entry {self.seq} came before it: it was put in, repeated or moved")
            return found
        if entry.seq > self.seq + 1:
            wrong(Kind.REMOVED, f"{_between(self.seq + 1, entry.seq - 1)} before it")
        elif entry.previous != self.hash:
            wrong(Kind.UNLINKED, f"it was written after another entry {self.seq} than the one that is there")
        self.head = entry
        return found


def _between(first: int, last: int) -> str:
    return f"entry {first} is missing" if first == last else f"entries {first} to {last} are missing"
