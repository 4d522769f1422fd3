"""Bodies: undone by Content-Encoding piece by piece, packed by Accept-Encoding."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import lz4.frame
import zstandard

from meterline_deploy.embedded.clickhouse.errors import (
    CANNOT_DECOMPRESS,
    UNKNOWN_COMPRESSION_METHOD,
    EngineError,
    refusal,
)

PIECE = 2 * 1024 * 1024
_ANSWERS = ("zstd", "lz4", "gzip", "deflate")  # by preference where the client has none


def unpack(body: bytes, encoding: str) -> Iterator[bytes]:
    """The body in pieces of some megabytes.

    Raises:
        EngineError: an unknown encoding, or bytes that are not in it or end too early.
    """
    match encoding.strip().lower():
        case "" | "identity":
            yield from (body[start : start + PIECE] for start in range(0, len(body), PIECE))
        case "gzip" | "x-gzip":
            yield from _frames(body, lambda: zlib.decompressobj(31))
        case "deflate":
            yield from _frames(body, zlib.decompressobj)
        case "zstd":
            yield from _frames(body, lambda: zstandard.ZstdDecompressor().decompressobj())
        case "lz4":
            yield from _frames(body, lz4.frame.LZ4FrameDecompressor)
        case other:
            raise refusal(
                UNKNOWN_COMPRESSION_METHOD, "UNKNOWN_COMPRESSION_METHOD", f"Unknown compression method: {other}"
            )


def choose(accepted: str) -> str:
    """The encoding to answer in, or ``""``."""
    offers: dict[str, float] = {}
    for offer in accepted.lower().split(","):
        name, _, weight = offer.strip().partition(";")
        try:
            offers[name.strip()] = float(weight.strip().removeprefix("q=") or 1)
        except ValueError:
            offers[name.strip()] = 1.0
    usable = [name for name in _ANSWERS if offers.get(name, 0) > 0]
    return max(usable, key=lambda name: offers[name], default="")


def pack(body: bytes, encoding: str) -> bytes:
    match encoding:
        case "gzip":
            return gzip.compress(body, 3)
        case "deflate":
            return zlib.compress(body, 3)
        case "zstd":
            return zstandard.ZstdCompressor(level=1).compress(body)
        case "lz4":
            return bytes(lz4.frame.compress(body))
        case _:
            return body


def _frames(body: bytes, decoder: Callable[[], Any]) -> Iterator[bytes]:
    """Frames may follow one another; every one must be whole."""
    start = 0
    while start < len(body):
        frame = decoder()
        while not frame.eof:
            piece = body[start : start + PIECE]
            if not piece:
                raise _broken("it ends too early")
            try:
                plain = frame.decompress(piece)
            except (zlib.error, zstandard.ZstdError, RuntimeError) as error:
                raise _broken(str(error)) from None
            start += len(piece)
            if plain:
                yield plain
        start -= len(frame.unused_data or b"")


def _broken(why: str) -> EngineError:
    return refusal(CANNOT_DECOMPRESS, "CANNOT_DECOMPRESS", f"Cannot decompress the request's body: {why}")
