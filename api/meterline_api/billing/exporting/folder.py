"""Exports in a folder: each file is written beside its name, brought to disk, and then renamed."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from meterline_schemas.errors import UnavailableError

_PART: Final = ".part"


class FolderStore:
    """As ``Store``. The folder is made where it is missing; who may read it is for its owner to say."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def runs(self) -> list[str]:
        with _reached(self._path):
            return sorted(each.name for each in self._path.iterdir() if each.is_dir()) if self._path.exists() else []

    def read(self, name: str) -> bytes | None:
        with _reached(self._path):
            try:
                return (self._path / name).read_bytes()
            except FileNotFoundError:
                return None

    def write(self, name: str, content: bytes) -> None:
        with self._file(name) as out:
            out.write(content)

    def take(self, name: str, content: BinaryIO) -> None:
        with self._file(name) as out:
            shutil.copyfileobj(content, out, 1024 * 1024)

    @contextmanager
    def _file(self, name: str) -> Iterator[BinaryIO]:
        final = self._path / name
        part = final.with_name(f".{final.name}.{secrets.token_hex(4)}{_PART}")
        with _reached(self._path):
            self._make(final.parent)
            for left in final.parent.glob(f".{final.name}.*{_PART}"):  # by a process that ended
                left.unlink(missing_ok=True)
            try:
                with part.open("xb") as out:
                    yield out
                    out.flush()
                    os.fsync(out.fileno())
                part.replace(final)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
            _sync(final.parent)

    def _make(self, folder: Path) -> None:
        if not folder.exists():
            folder.mkdir(parents=True, exist_ok=True)
            _sync(folder.parent)


@contextmanager
def _reached(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UnavailableError(
            f"exports cannot be written to {path}: {error.strerror or error}; make the folder writable for the API"
        ) from None


def _sync(folder: Path) -> None:
    """Bring the names in a folder to disk."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
