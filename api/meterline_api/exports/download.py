"""A file that is sent while it is made. What breaks off is never taken for a whole one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping

from fastapi import Response
from starlette.types import Receive, Scope, Send

from meterline_api.exports.body import ChangedError
from meterline_api.formats.packing import packer
from meterline_schemas.errors import UnavailableError

log = logging.getLogger(__name__)
_SLICE = 256 * 1024  # so that a slow reader holds up the next piece and not memory


async def begun(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same with its first piece that has bytes made already: what is wrong shows before anything is sent.

    Raises:
        whatever making it raises.
    """
    first = b""
    async for piece in pieces:
        if piece:
            first = piece
            break

    async def whole() -> AsyncIterator[bytes]:
        yield first
        async for piece in pieces:
            yield piece

    return whole()


class Download(Response):
    """``pieces`` as a body, packed where ``encoding`` says how.

    The caller going away ends it after the piece that is being made. An error closes the connection before the end of
    the body, so that every client sees a transfer that failed.
    """

    def __init__(
        self,
        pieces: AsyncIterator[bytes],
        status: int,
        headers: Mapping[str, str],
        media_type: str,
        encoding: str = "",
        size: int | None = None,
    ) -> None:
        super().__init__(None, status, media_type=media_type)
        del self.headers["content-length"]
        self.headers.update(headers)
        if encoding:
            self.headers["Content-Encoding"] = encoding
        elif size is not None:
            self.headers["Content-Length"] = str(size)
        self._pieces = pieces
        self._encoding = encoding

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gone = asyncio.create_task(_gone(receive))
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async for piece in self._packed():
                for start in range(0, len(piece), _SLICE):
                    if gone.done():
                        return
                    await send({"type": "http.response.body", "body": piece[start : start + _SLICE], "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except (UnavailableError, ChangedError) as error:
            log.error("%s was cut off: %s", scope["path"], error)
        finally:
            gone.cancel()

    async def _packed(self) -> AsyncIterator[bytes]:
        if not self._encoding:
            async for piece in self._pieces:
                yield piece
            return
        packing = packer(self._encoding)
        async for piece in self._pieces:
            yield await asyncio.to_thread(packing.compress, piece)
        yield packing.flush()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
