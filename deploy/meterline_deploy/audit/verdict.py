"""What looking through the audit log found. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from meterline_schemas.audit.chain import Break
from meterline_schemas.errors import ConfigurationError

_NUMBER: Final = re.compile(r"[0-9]{1,18}", re.ASCII)
_DIGEST: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True)
class Head:
    """An entry's number and hash, as somebody wrote them down."""

    seq: int
    hash: str

    @classmethod
    def parse(cls, text: str) -> Head:
        """``SEQ:HASH``.

        Raises:
            ConfigurationError: it is none.
        """
        number, _, digest = text.strip().partition(":")
        digest = digest.lower()
        if not number.isascii() or not number.isdigit() or len(digest) != 64 or set(digest) - set("0123456789abcdef"):
            raise ConfigurationError(
                f"--head {text[:100]!r} is none: write SEQ:HASH as `meterline audit verify` prints it"
            )
        return cls(int(number), digest)


@dataclass(frozen=True)
class Problem:
    """What is wrong: ``where`` is ``kafka``, ``clickhouse`` or ``head``; ``seq`` and ``offset`` -1 where unknown."""

    where: str
    kind: str
    seq: int
    offset: int
    detail: str

    @classmethod
    def of(cls, found: Break) -> Problem:
        return cls("kafka", found.kind, found.seq, found.offset, found.detail)

    def __str__(self) -> str:
        entry = f"entry {self.seq}" if self.seq > 0 else "a record"
        place = f" (offset {self.offset})" if self.offset >= 0 else ""
        return f"{self.where}: {self.kind}: {entry}{place}: {self.detail}"


@dataclass
class Verdict:
    """``entries`` were read in Kafka; at most ``limit`` problems are listed, ``count`` counts all."""

    limit: int = 100
    entries: int = 0
    seq: int = 0
    hash: str = ""
    count: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def valid(self) -> bool:
        return self.count == 0

    def add(self, problems: Sequence[Problem]) -> None:
        self.count += len(problems)
        self.problems += problems[: max(0, self.limit - len(self.problems))]

    def closing(self) -> str:
        """In one line, which starts with ``valid:`` or ``BROKEN:``."""
        if not self.valid:
            return f"BROKEN: {self.count:,} problem{'s' if self.count > 1 else ''} in {self.entries:,} entries"
        if not self.entries:
            return "valid: nothing has been written yet"
        return f"valid: {self.entries:,} entries, one chain, the same in Kafka and ClickHouse"

    def as_json(self) -> dict[str, Any]:
        return {
            "valid": self.valid,
            "verdict": self.closing(),
            "entries": self.entries,
            "head": {"seq": self.seq, "hash": self.hash},
            "count": self.count,
            "problems": [vars(each) for each in self.problems],
        }
