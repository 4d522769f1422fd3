"""A table of events, whatever its form: columns, and rows of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from meterline_deploy.emit.mapping import Places
from meterline_deploy.emit.row import Rules
from meterline_schemas.errors import MeterlineError


class UnreadableFileError(MeterlineError):
    """The file is broken from some place on; what came before it was read."""


class Table(Protocol):
    """Read once, from its first row to its last. ``total`` is where ``position`` ends, 0 where that is not known."""

    columns: Sequence[str]
    total: int

    def check(self, places: Places, rules: Rules) -> None:
        """Look at what is known of the columns that are mapped, without reading rows.

        Raises:
            ConfigurationError: a column cannot be what it is mapped to.
        """

    def rows(self, every: bool) -> Iterator[Sequence[str]]:
        """The cells of each row as text; an empty text where there is nothing, or, unless ``every``, nothing asked for.

        Raises:
            UnreadableFileError: the file is broken here.
        """

    def position(self) -> int:
        """How far the rows have been read."""
