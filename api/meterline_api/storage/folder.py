"""Storage that is a folder with a folder for each tenant."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from typing import Final

from meterline_api.storage.findings import Finding, Passed, Stored, Unmeasured
from meterline_api.storage.place import Folder
from meterline_schemas.errors import UnavailableError

_NO_TENANT: Final = "lost+found"
_GONE: Final = (FileNotFoundError, NotADirectoryError)  # it vanished, or is something else by now


class FolderProvider:
    """The sizes of all files below each tenant's folder. Symbolic links are not followed and do not count.

    A file with several names within a tenant's folder counts once for that tenant. What vanishes while it is looked
    at does not count. Folders whose names begin with a dot are nobody's.
    """

    def __init__(self, place: Folder) -> None:
        self._root = place.path

    def measure(self, only: Collection[str] | None = None) -> Iterator[Finding]:
        """As ``Provider.measure``."""
        try:
            with os.scandir(self._root) as entries:
                folders = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
        except OSError as error:
            raise UnavailableError(
                f"the folder {self._root} cannot be read: {error.strerror}; is it mounted?"
            ) from None
        for name in folders:
            if not name.startswith(".") and name != _NO_TENANT:
                yield self._measure(name) if only is None or name in only else Passed(name)

    def _measure(self, name: str) -> Finding:
        try:
            os.fsencode(name).decode()
        except UnicodeDecodeError:
            return Unmeasured(ascii(name), "the folder's name is no UTF-8: rename it to the tenant's id")
        try:
            return Stored(name, _size(os.path.join(self._root, name)))
        except OSError as error:
            where = os.fsencode(error.filename or "").decode(errors="replace")
            return Unmeasured(name, f"{where[:300]} cannot be read: {error.strerror}")


def _size(folder: str) -> int:
    """Bytes of the files below a folder.

    Raises:
        OSError: something cannot be read although it is there.
    """
    total = 0
    linked: set[tuple[int, int]] = set()
    waiting = [folder]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    try:
                        found = entry.stat(follow_symlinks=False)
                    except _GONE:
                        continue
                    if stat.S_ISDIR(found.st_mode):
                        waiting.append(entry.path)
                    elif stat.S_ISREG(found.st_mode):
                        inode = (found.st_dev, found.st_ino)
                        if inode not in linked:
                            total += found.st_size
                        if found.st_nlink > 1:
                            linked.add(inode)
        except _GONE:
            continue
    return total
