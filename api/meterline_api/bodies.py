"""Request bodies as bytes: bounded while they are read and while they are unpacked."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, Protocol

from fastapi import Request

from meterline_api.problems import Code, Problem

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes | memoryview, max_length: int, /) -> bytes: ...


_PIECE: Final = 16 * 1024  # given at once: what is left of it behind each member is copied
_MOST_MEMBERS: Final = 1000  # of gzip, or frames of zstd: one may be 8 bytes long and costs more than its bytes
_DECOMPRESSORS: Final[dict[str, Callable[[], _Decompressor]]] = {
    "gzip": lambda: zlib.decompressobj(wbits=31),
    # 8 MiB is what RFC 8878 asks every receiver to take; a larger window is memory for the asking
    "zstd": lambda: zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: 23}),
}


async def read_body(request: Request, limit: int) -> bytes:
    """The body, unpacked.

    Raises:
        Problem: 413 above ``limit`` bytes, packed or not; 415 for an encoding other than gzip and zstd; 400 where
            the bytes are not in the encoding that they claim.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity") and encoding not in _DECOMPRESSORS:
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            Code.UNSUPPORTED_ENCODING,
            f"Content-Encoding {encoding[:50]!r} is not read; send gzip, zstd or none",
            headers={"Accept-Encoding": "gzip, zstd, identity"},
        )
    length = request.headers.get("content-length", "")
    if length.isdecimal() and len(length) < 20 and int(length) > limit:
        raise _too_large(limit)
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
    body = b"".join(chunks)
    return unpack(body, encoding, limit) if encoding in _DECOMPRESSORS else body


def unpack(body: bytes, encoding: str, limit: int) -> bytes:
    """``body`` without its ``gzip`` or ``zstd``; never makes more than ``limit`` bytes and one.

    Raises:
        Problem: 413 or 400, as ``read_body``.
    """
    parts: list[bytes] = []
    size = members = 0
    decompressor: _Decompressor | None = None
    whole = memoryview(body)
    try:
        for start in range(0, len(body), _PIECE):
            piece: bytes | memoryview = whole[start : start + _PIECE]
            while piece:
                if decompressor is None:
                    members += 1
                    if members > _MOST_MEMBERS:
                        raise _invalid(f"the {encoding} body has more than {_MOST_MEMBERS} parts; pack it as one")
                    decompressor = _DECOMPRESSORS[encoding]()
                part = decompressor.decompress(piece, limit - size + 1)
                parts.append(part)
                size += len(part)
                if size > limit:
                    raise _too_large(limit)
                if not decompressor.eof:
                    break
                piece = decompressor.unused_data
                decompressor = None
    except (zlib.error, zstd.ZstdError) as error:
        raise _invalid(f"the body is no {encoding}: {error}") from None
    if decompressor is not None:
        raise _invalid(f"the {encoding} body is cut off")
    return b"".join(parts)


def _invalid(detail: str) -> Problem:
    return Problem(HTTPStatus.BAD_REQUEST, Code.INVALID_ENCODING, detail)


def _too_large(limit: int) -> Problem:
    return Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        Code.BODY_TOO_LARGE,
        f"a request may have {limit} bytes, also when unpacked; send it in parts",
    )
