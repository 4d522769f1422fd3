"""The quotas' parts wired together, with their threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from meterline_api.catalog import Catalog
from meterline_api.clickhouse import ClickHouse
from meterline_api.quotas.bases import Bases
from meterline_api.quotas.counters import Counters
from meterline_api.quotas.desk import Desk
from meterline_api.quotas.follower import Follower
from meterline_api.quotas.publisher import Publisher
from meterline_schemas import topics
from meterline_schemas.kafka_tail import KafkaTail
from meterline_schemas.settings import ClickHouseSettings, KafkaSettings

_BASES_TIMEOUT: Final = 300.0  # seconds: nobody waits for it, and a period may have very many events


class Quotas:
    """Started once for each process. ``catalog_read`` says whether all of the catalog has been read."""

    def __init__(
        self,
        kafka: KafkaSettings,
        clickhouse: ClickHouseSettings,
        tables: ClickHouse,
        catalog: Catalog,
        catalog_read: Callable[[], bool],
    ) -> None:
        counters = Counters()
        tail = KafkaTail(kafka.client(), [kafka.topic(topics.COUNTERS)])
        self._follower = Follower(counters, tail, lambda: catalog.partitions if catalog_read() else 0)
        self._bases = Bases(
            counters,
            lambda: self._follower.ready,
            lambda metric: catalog.book.is_gauge(metric),
            ClickHouse(clickhouse, _BASES_TIMEOUT),
            Publisher(kafka.client(), kafka.topic(topics.BASES)),
        )
        self.desk = Desk(catalog, counters, tables, lambda: "" if self._follower.ready else self._follower.trouble)

    def start(self) -> None:
        self._follower.start()
        self._bases.start()

    def stop(self) -> None:
        self._bases.stop()
        self._follower.stop()
