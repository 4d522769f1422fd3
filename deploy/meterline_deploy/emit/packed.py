"""Files as bytes, unpacked where their name ends in .gz or .zst."""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, cast

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

from meterline_schemas.errors import ConfigurationError

SUFFIXES: Final = (".gz", ".zst")
BROKEN: Final = (EOFError, OSError, zlib.error, zstd.ZstdError)
"""What reading raises where packed bytes are cut off or wrong."""


class Opened(NamedTuple):
    """``file`` to read from, ``raw`` as it lies on disk, ``size`` of that in bytes, 0 where it is a pipe."""

    file: BinaryIO
    raw: BinaryIO
    size: int

    @property
    def packed(self) -> bool:
        return self.file is not self.raw


@contextmanager
def opened(name: str) -> Iterator[Opened]:
    """A file by its name; ``-`` is standard input, never unpacked.

    Raises:
        ConfigurationError: it cannot be read.
    """
    if name == "-":
        yield Opened(sys.stdin.buffer, sys.stdin.buffer, 0)
        return
    path = Path(name)
    try:
        raw = path.open("rb")
    except OSError as error:
        raise ConfigurationError(f"cannot read {name}: {error.strerror}") from None
    with raw:
        size = path.stat().st_size
        match path.suffix.lower():
            case ".gz":
                yield Opened(cast("BinaryIO", gzip.GzipFile(fileobj=raw)), raw, size)
            case ".zst":
                yield Opened(cast("BinaryIO", zstd.ZstdFile(raw)), raw, size)
            case _:
                yield Opened(raw, raw, size)


def form_of(name: str) -> str:
    """``csv``, ``tsv``, ``parquet`` or ``ndjson``, by how the name ends."""
    path = Path(name.lower())
    if path.suffix in SUFFIXES:
        path = path.with_suffix("")
    return {".csv": "csv", ".tsv": "tsv", ".parquet": "parquet", ".pq": "parquet"}.get(path.suffix, "ndjson")
