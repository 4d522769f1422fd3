"""Changes of the catalog from within a request: made in a thread, and seen by this process before they are answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Set
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from meterline_api.catalog import Catalog
from meterline_schemas.audit.entry import Author
from meterline_schemas.catalog import Book, Entry
from meterline_schemas.catalog.changes import check_denied
from meterline_schemas.catalog.store import Store

_SEEN_WITHIN: Final = 3.0  # seconds; a change that takes longer to come back is made all the same
_LOOK_EVERY: Final = 0.01

Kind = TypeVar("Kind", bound=Entry)


class Editor:
    """The catalog of this process, and the way to change it.

    Changes have a thread of their own: while Kafka is away they wait for it, and queries must not wait behind them.
    """

    def __init__(self, store: Store, catalog: Catalog, denied: Set[str] = frozenset()) -> None:
        self.catalog = catalog
        self._denied = denied
        self._store = store
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="catalog-change")

    async def put(self, decide: Callable[[Book], Kind], author: Author) -> Kind:
        """Write the entry that ``decide`` makes of the catalog as it is; the entry with its version and time.

        The audit log names ``author``.

        Raises:
            RefusedError: of ``decide``, or a metric counts the values of a denied property; nothing was written.
            UnavailableError: Kafka does not answer; whether it was written is to be read.
        """
        return await self._change(decide, author, deleted=False)

    async def delete(self, decide: Callable[[Book], Kind], author: Author) -> None:
        """Remove the entry that ``decide`` returns. Raises what ``put`` raises."""
        await self._change(decide, author, deleted=True)

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _change(self, decide: Callable[[Book], Kind], author: Author, *, deleted: bool) -> Kind:
        decided: list[Kind] = []

        def decide_one(book: Book) -> list[tuple[Entry, bool]]:
            decided[:] = [decide(book)]
            if not deleted:
                check_denied(decided[0], self._denied)
            return [(decided[0], deleted)]

        loop = asyncio.get_running_loop()
        (written,) = await loop.run_in_executor(self._thread, self._store.change, decide_one, author)
        assert isinstance(written, type(decided[0]))  # noqa: S101 - the store returns what it was given, stamped
        deadline = time.monotonic() + _SEEN_WITHIN
        while not self._shows(written, deleted) and time.monotonic() < deadline:
            await asyncio.sleep(_LOOK_EVERY)
        return written

    def _shows(self, written: Entry, deleted: bool) -> bool:
        """Whether this process has read the change, or one after it."""
        found = self.catalog.find(type(written), written.identity)
        if found is None:
            return deleted
        if found == written:
            return not deleted
        return found.changed_at is not None and written.changed_at is not None and found.changed_at > written.changed_at
