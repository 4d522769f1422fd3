"""Where notifications are asked for: the table of what was told, and the ledger of how it went."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol

from meterline_api.notifications.deliveries import Deliveries
from meterline_api.notifications.listing import ListQuery, Told, build, build_one, read, read_one, write_cursor
from meterline_api.notifications.models import NotificationAnswer
from meterline_api.quotas.publisher import Keyed
from meterline_schemas.delivery import Delivery, Resend

_NOBODY: Final = "nobody was to be told of it, or the notifier has not read it yet"


class Tables(Protocol):
    async def rows(self, sql: str, parameters: Mapping[str, Any]) -> Sequence[Sequence[Any]]: ...


class Topic(Protocol):
    def publish(self, records: Iterable[Keyed]) -> None: ...


class Fate(NamedTuple):
    """What became of a notification. ``note`` says why there are no deliveries, where there are none."""

    deliveries: list[Delivery]
    note: str | None = None


class NobodyError(ValueError):
    """Nobody can be told once more; the text says why. ``of_target``: because of the target."""

    def __init__(self, reason: str, *, of_target: bool) -> None:
        super().__init__(reason)
        self.of_target = of_target


class Desk:
    """``trouble`` says why the deliveries are not known yet, or nothing; ``is_webhook`` whether an id is one's."""

    def __init__(
        self,
        tables: Tables,
        deliveries: Deliveries,
        ledger: Topic,
        trouble: Callable[[], str],
        is_webhook: Callable[[str], bool],
    ) -> None:
        self._tables = tables
        self._deliveries = deliveries
        self._ledger = ledger
        self._trouble = trouble
        self._is_webhook = is_webhook
        self._writing = threading.Lock()

    async def page(self, query: ListQuery) -> tuple[list[NotificationAnswer], str | None]:
        """Notifications, and the cursor for those after them where there are more.

        Raises:
            UnavailableError: ClickHouse does not answer.
        """
        found = [read(row) for row in await self._tables.rows(*build(query))]
        shown = found[: query.limit]
        return shown, write_cursor(shown[-1]) if len(found) > query.limit else None

    async def find(self, id: str) -> Told | None:
        """A notification.

        Raises:
            UnavailableError: ClickHouse does not answer.
        """
        rows = await self._tables.rows(*build_one(id))
        return read_one(rows[0]) if rows else None

    def fate(self, id: str, timestamp: datetime) -> Fate:
        """What became of a notification, as this process has read it."""
        known = self._deliveries.find(id)
        if known is not None:
            return Fate(known.deliveries)
        return Fate([], self._why_unknown(timestamp) or _NOBODY)

    async def whose(self, id: str) -> str | None:
        """The tenant that a notification is about; None where there is no such notification.

        Raises:
            UnavailableError: ClickHouse is needed to find it and does not answer.
        """
        known = self._deliveries.find(id)
        if known is not None:
            return known.deliveries[0].tenant_id
        told = await self.find(id)
        return None if told is None else told.answer.tenant_id

    async def home(self, id: str, target: str) -> int | None:
        """The partition that a request to resend belongs on; None where there is no such notification.

        Raises:
            NobodyError: the request can come to nothing.
            UnavailableError: ClickHouse is needed to find it and does not answer.
        """
        known = self._deliveries.find(id)
        if known is not None:
            self._check(target, known.targets)
            return known.partition
        told = await self.find(id)
        if told is None:
            return None
        if not self._why_unknown(told.answer.timestamp):
            raise NobodyError(f"{_NOBODY}: there is nothing to send again", of_target=False)
        return told.partition

    async def resend(self, partition: int, id: str, target: str) -> Resend:
        """Ask the notifier for it once more; on return the request is written down.

        Raises:
            UnavailableError: Kafka does not answer.
        """
        request = Resend(id=uuid.uuid4().hex, notification_id=id, target=target)
        await asyncio.to_thread(self._write, Keyed(partition, request.record_key, request.encode()))
        return request

    def _why_unknown(self, timestamp: datetime) -> str:
        """Why there may be deliveries that are not known here; empty where there are none."""
        before, trouble = self._deliveries.before, self._trouble()
        if before is not None and timestamp <= before:
            return f"only newer ones than {before.isoformat()} are looked after here; it can be resent"
        return f"what became of it is not known: {trouble}" if trouble else ""

    def _check(self, target: str, targets: set[str]) -> None:
        kind, _, name = target.partition("/")
        if not target or target in targets or (kind == "webhook" and self._is_webhook(name)):
            return
        raise NobodyError(
            f"{target!r} was not told of it and is no webhook; these were: {', '.join(sorted(targets))}",
            of_target=True,
        )

    def _write(self, record: Keyed) -> None:
        with self._writing:
            self._ledger.publish([record])
