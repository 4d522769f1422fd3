"""glibc's allocator, told to give memory back."""

from __future__ import annotations

import ctypes
from typing import Final

_TRIM_THRESHOLD: Final = -1  # malloc.h
_MMAP_THRESHOLD: Final = -3
_ARENA_MAX: Final = -8

_MIB: Final = 1024 * 1024


def give_memory_back() -> None:
    """Large arrays in mappings of their own, and few arenas: what a thread frees is otherwise kept for that thread.

    A table that grows leaves its old arrays behind; glibc would raise the size from which it maps with each of them,
    and keep them. Does nothing where there is no glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_ARENA_MAX, 2)
        mallopt(_MMAP_THRESHOLD, 1 * _MIB)
        mallopt(_TRIM_THRESHOLD, 8 * _MIB)
