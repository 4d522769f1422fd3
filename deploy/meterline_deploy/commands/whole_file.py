"""A file that a command writes: whole under its name, or not there."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

STDOUT: Final = Path("-")


@contextmanager
def whole(final: Path) -> Iterator[BinaryIO]:
    """A file that has its name once all of it is on disk.

    Raises:
        MeterlineError: it cannot be written.
    """
    if final == STDOUT:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    part = final.with_name(f".{final.name}.{os.getpid()}.part")
    with written(final):
        file = part.open("xb")
    try:
        with file:
            yield file
            with written(final):
                file.flush()
                os.fsync(file.fileno())
                part.replace(final)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def written(final: Path) -> Iterator[None]:
    """Around what writes it.

    Raises:
        MeterlineError: it cannot be written.
    """
    from meterline_schemas.errors import MeterlineError

    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise MeterlineError(f"cannot write {final}: {error.strerror or error}; name another file with --out") from None
