"""glibc's allocator, told how a process uses memory. Does nothing where there is no glibc."""

from __future__ import annotations

import ctypes
from typing import Final

_TRIM_THRESHOLD: Final = -1  # malloc.h
_MMAP_THRESHOLD: Final = -3
_ARENA_MAX: Final = -8

_MIB: Final = 1024 * 1024


def give_memory_back() -> None:
    """For a process that holds much and long: large arrays in mappings of their own, and few arenas.

    A table that grows leaves its old arrays behind. glibc would raise the size from which it maps with each of them,
    and keep them, and what a thread frees for that thread.
    """
    _set({_ARENA_MAX: 2, _MMAP_THRESHOLD: 1 * _MIB, _TRIM_THRESHOLD: 8 * _MIB})


def keep_memory(mebibytes: int) -> None:
    """For a process through which large values flow: what is freed is used again, up to so much.

    Else each of them is fresh pages from the kernel, which clears them: more than half of the sink's time.
    """
    _set({_ARENA_MAX: 2, _MMAP_THRESHOLD: 32 * _MIB, _TRIM_THRESHOLD: mebibytes * _MIB})


def _set(options: dict[int, int]) -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in options.items():
            mallopt(option, value)
