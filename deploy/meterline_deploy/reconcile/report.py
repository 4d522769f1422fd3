"""What a reconciliation found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Fields = Mapping[str, str]


@dataclass(frozen=True)
class Difference:
    """One thing that is not as it must be.

    ``kind`` is one word or two for it, ``key`` names the thing; ``expected`` and ``found`` are its exact values, None
    where it does not exist there.
    """

    kind: str
    key: Fields
    expected: Fields | None = None
    found: Fields | None = None
    detail: str = ""

    def amounts(self) -> str:
        """What differs, as one line: only the fields that are not equal, where both sides have the thing."""
        expected, found = self.expected, self.found
        if expected is not None and found is not None:
            names = [name for name in expected if expected[name] != found.get(name)]
            names += [name for name in found if name not in expected]
            return ", ".join(f"{name} {expected.get(name, '-')} → {found.get(name, '-')}" for name in names)
        only = expected if expected is not None else found
        return ", ".join(f"{name} {value}" for name, value in (only or {}).items() if value != "")

    def as_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "key": dict(self.key),
            "expected": None if self.expected is None else dict(self.expected),
            "found": None if self.found is None else dict(self.found),
            "detail": self.detail,
        }


@dataclass
class Check:
    """One comparison: ``compared`` things of ``unit``; ``count`` differences, of which the first are listed.

    ``at_least``: there may be more differences than were counted. ``notes`` say what was not looked at and why.
    """

    name: str
    title: str
    unit: str
    compared: int = 0
    differences: list[Difference] = field(default_factory=list)
    count: int = 0
    at_least: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def exact(self) -> bool:
        return self.count == 0

    def add(self, differences: Sequence[Difference], limit: int) -> None:
        """Count differences, and list them while fewer than ``limit`` are listed."""
        self.count += len(differences)
        self.differences.extend(differences[: max(0, limit - len(self.differences))])

    def result(self) -> str:
        if self.exact:
            return "exact"
        return f"{'at least ' if self.at_least else ''}{self.count:,} different"

    def as_json(self) -> dict[str, Any]:
        return {
            "check": self.name,
            "title": self.title,
            "exact": self.exact,
            "compared": self.compared,
            "unit": self.unit,
            "differences": self.count,
            "at_least": self.at_least,
            "listed": [difference.as_json() for difference in self.differences],
            "notes": self.notes,
        }


@dataclass(frozen=True)
class PartitionLine:
    """One partition: judged up to ``watermark``; the four counts are of lines since it began.

    Each line from offset ``lines_from`` on, and each row from ``rows_from`` on, was looked at. ``unjudged`` records
    lie after the watermark.
    """

    partition: int
    watermark: int
    lines: int
    accepted: int
    late: int
    rejected: int
    forwarded: int
    lines_from: int
    rows_from: int
    unjudged: int


@dataclass
class Report:
    partitions: list[PartitionLine] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)

    @property
    def exact(self) -> bool:
        return all(check.exact for check in self.checks)

    def closing(self) -> str:
        """The verdict in one line, which starts with ``exact:`` or ``DIFFERENT:``."""
        if not self.exact:
            wrong = [check for check in self.checks if not check.exact]
            said = "; ".join(f"{check.name}: {check.result()} of {check.compared:,} {check.unit}" for check in wrong)
            return f"DIFFERENT: {said}"
        unjudged = sum(line.unjudged for line in self.partitions)
        later = f"; {unjudged:,} records are not judged yet" if unjudged else ""
        if not any(line.lines for line in self.partitions):
            return f"exact: nothing has been judged yet{later}"
        compared = ", ".join(f"{check.compared:,} {check.unit}" for check in self.checks if check.unit)
        return f"exact: {compared}, no difference{later}"

    def as_json(self) -> dict[str, Any]:
        return {
            "exact": self.exact,
            "verdict": self.closing(),
            "partitions": [vars(line) for line in self.partitions],
            "checks": [check.as_json() for check in self.checks],
        }
