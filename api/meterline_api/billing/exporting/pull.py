"""A pull: one kind, up to a position, in a format; in constant memory, whatever its length."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import islice
from typing import Final

import msgspec

from meterline_api.billing.exporting.as_of import AsOf
from meterline_api.billing.exporting.asked import Asked, Sources
from meterline_api.billing.exporting.kinds import Kind
from meterline_api.billing.exporting.writing import writer
from meterline_api.formats.table import Format

_FORM: Final = 1  # another one when the bytes of the same rows change
_PIECE: Final = 2000  # rows that are written in one go


async def settled(kind: Kind, sources: Sources, wanted: AsOf | None, now: datetime) -> AsOf:
    """The moment that is wanted with its positions: by default, and where it has not come yet, now.

    Raises:
        UnavailableError: ClickHouse does not answer.
    """
    if wanted is not None and wanted.positions is not None:
        return wanted
    at = None if wanted is None or wanted.at >= now else wanted.at
    return AsOf((at or now).astimezone(UTC), kind.ledger, await kind.settle(sources, at))


class Pull:
    """``rows`` counts what ``pieces`` have given so far. ``following``: where the page behind this one begins."""

    def __init__(
        self, kind: Kind, sources: Sources, asked: Asked, format: Format, following: int | None = None
    ) -> None:
        self.kind = kind
        self.asked = asked
        self.format = format
        self.rows = 0
        self.following = following
        self._sources = sources

    async def pieces(self) -> AsyncIterator[bytes]:
        """The file.

        Raises:
            UnavailableError: something that it is made of does not answer.
        """
        into = writer(self.kind.columns, self.format, None if self.following is None else str(self.following))
        async for batch in self.kind.read(self._sources, self.asked):
            rows = iter(batch)
            while part := list(islice(rows, _PIECE)):
                self.rows += len(part)
                yield await asyncio.to_thread(into.rows, part)
        yield await asyncio.to_thread(into.end)

    @property
    def etag(self) -> str | None:
        """The same for the same bytes; None: they are computed anew each time."""
        if self.asked.as_of.positions is None:
            return None
        since = self.asked.since
        plain = dataclasses.replace(self.asked, as_of=AsOf(_EPOCH, "", self.asked.as_of.positions), fixed=True)
        plain = dataclasses.replace(plain, since=since and AsOf(_EPOCH, "", since.positions))
        version = ""
        if self.format is Format.PARQUET:
            from meterline_api.formats.parquet import VERSION

            version = VERSION
        parts = [_FORM, self.kind.name, self.format, version, repr(plain), repr(self._sources.accounts)]
        return f'"{hashlib.sha256(msgspec.msgpack.encode(parts)).hexdigest()[:32]}"'


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
