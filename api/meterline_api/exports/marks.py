"""Where the pages of files begin that were sent lately, so that one that goes on need not be made from its start."""

from __future__ import annotations

import bisect
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

from meterline_api.exports.selection import Key, Sum

FILES: Final = 64
PER_FILE: Final = 512


@dataclass(frozen=True)
class Mark:
    """A page begins at this byte, after this key; all before it comes to ``sum``."""

    byte: int
    after: Key | None
    sum: Sum


class Marks:
    """Of one process, the least recently used file forgotten first; without one a file is made from its start."""

    def __init__(self) -> None:
        self._files: OrderedDict[Hashable, list[Mark]] = OrderedDict()

    def add(self, file: Hashable, mark: Mark) -> None:
        marks = self._files.setdefault(file, [])
        self._files.move_to_end(file)
        if not marks or marks[-1].byte < mark.byte:
            marks.append(mark)
        if len(marks) > PER_FILE:
            del marks[::2]
        if len(self._files) > FILES:
            self._files.popitem(last=False)

    def before(self, file: Hashable, byte: int) -> Mark | None:
        """The last one known at or before a byte."""
        marks = self._files.get(file, [])
        place = bisect.bisect_right(marks, byte, key=lambda mark: mark.byte)
        return marks[place - 1] if place else None
