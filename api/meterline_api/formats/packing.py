"""Answers packed as they are written, by ``Accept-Encoding``."""

from __future__ import annotations

import sys
import zlib
from typing import Protocol

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


class Packer(Protocol):
    """Takes a body in pieces."""

    def compress(self, piece: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


def encoding_of(accepted: str) -> str:
    """``zstd``, ``gzip`` or, where neither is wanted, nothing."""
    weights: dict[str, float] = {}
    for offer in accepted.lower().split(","):
        name, *parameters = (part.strip() for part in offer.split(";"))
        weight = next((part[2:] for part in parameters if part.startswith("q=")), "1")
        try:
            weights[name] = float(weight)
        except ValueError:
            weights[name] = 0.0
    usable = [name for name in ("zstd", "gzip") if weights.get(name, 0.0) > 0]
    return max(usable, key=lambda name: weights[name], default="")


def packer(encoding: str) -> Packer:
    if encoding == "zstd":
        return zstd.ZstdCompressor(level=3)
    return zlib.compressobj(level=3, wbits=31)
