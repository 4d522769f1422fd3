"""An installation that tells: an API and a notifier on real topics and tables, and two receivers of webhooks."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import msgspec

from meterline_schemas.catalog import Metric
from meterline_schemas.catalog.store import announcement
from meterline_schemas.notification import Notification
from meterline_schemas.partitioning import partition_of
from meterline_schemas.settings import ClickHouseSettings
from meterline_sinks.clickhouse import ClickHouse
from meterline_sinks.migrate import migrate
from meterline_sinks.rows import notification_row
from tests.api.process import ApiProcess
from tests.notifier.harness import AT, PARTITIONS, Notifiers, crossed, threshold, webhook
from tests.notifier.receiver import Answer, Call, Receiver, receiving
from tests.services.clickhouse import ClickHouseServer, execute
from tests.support.streams import wait_until

SOON = 30


@dataclass
class Telling:
    """``crm`` and ``erp`` are told everything; ``erp`` answers 410 to ids in ``gone``. Each crossing is a new one."""

    api: ApiProcess
    notifiers: Notifiers
    tables: ClickHouse
    crm: Receiver
    erp: Receiver
    gone: set[str] = field(default_factory=set)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def crossed(self, tenant: str = "acme", minutes: int = 0, **fields: Any) -> Notification:
        made = crossed(next(self._numbers), tenant, **fields)
        return msgspec.structs.replace(made, timestamp=AT + timedelta(minutes=minutes))

    def defined(self) -> Notification:
        """One that is of no tenant."""
        return announcement(Metric(key=f"metric-{next(self._numbers)}", version=1, changed_at=AT), deleted=False)

    def keep(self, *notifications: Notification) -> None:
        """Write them into ClickHouse, as the sink does."""
        rows = [notification_row(partition_of(each.tenant_id, PARTITIONS), 0, each.encode()) for each in notifications]
        self.tables.insert("notifications", b"\n".join(line for _table, line in rows))

    def tell(self, *notifications: Notification) -> None:
        self.keep(*notifications)
        self.notifiers.notify(*notifications)

    def get(self, id: str) -> dict[str, Any]:
        answer = self.api.client.get(f"/v1/notifications/{id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def statuses(self, id: str) -> dict[str, list[Any]]:
        """How each delivery stands and what its attempts were answered, by target."""
        return {
            each["target"]: [each["status"], *(attempt["status_code"] for attempt in each["attempts"])]
            for each in self.get(id)["deliveries"]
        }

    def wait(self, id: str, **statuses: list[Any]) -> None:
        """Until the deliveries to these webhooks, and no others, stand so."""
        wanted = {f"webhook/{name}": found for name, found in statuses.items()}
        wait_until(lambda: self.statuses(id) == wanted, SOON, lambda: f"{self.get(id)} is {wanted}")

    def resend(self, id: str, **body: Any) -> httpx.Response:
        return self.api.client.post(f"/v1/notifications/{id}/resend", json=body)


@contextmanager
def telling(kafka: str, clickhouse_server: ClickHouseServer, folder: Path) -> Iterator[Telling]:
    name = uuid.uuid4().hex[:8]
    settings: ClickHouseSettings = clickhouse_server.settings(f"told{name}")
    migrate(settings, cluster="")
    tables = ClickHouse(settings, settings.database)
    notifiers = Notifiers(kafka, f"told-{name}.", folder)
    api = ApiProcess(kafka, notifiers.prefix, settings, folder)
    try:
        with receiving() as crm, receiving() as erp:
            found = Telling(api, notifiers, tables, crm, erp)

            def answer(call: Call) -> Answer:
                return (410, {}, b"moved \x1b[31maway") if call.webhook_id in found.gone else (200, {}, b"ok")

            erp.answer = answer
            quiet = threshold("quiet", action="none")
            notifiers.define(webhook("crm", crm.url), webhook("erp", erp.url), quiet, threshold())
            notifiers.start()
            api.start()
            notifiers.wait_ready()
            yield found
            assert api.stop() == 0
            assert "Traceback" not in api.log()
    finally:
        api.stop()
        notifiers.close()
        tables.close()
        execute(settings, f"DROP DATABASE {settings.database} SYNC")
