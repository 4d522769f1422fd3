"""The parts of notifications wired together, with their thread."""

from __future__ import annotations

from typing import Final

from meterline_api.catalog import Catalog
from meterline_api.clickhouse import ClickHouse
from meterline_api.notifications.deliveries import Deliveries
from meterline_api.notifications.desk import Desk
from meterline_api.notifications.follower import Follower
from meterline_api.quotas.publisher import Publisher
from meterline_schemas import topics
from meterline_schemas.catalog import Webhook
from meterline_schemas.kafka_tail import KafkaTail
from meterline_schemas.settings import KafkaSettings

_TIMEOUT: Final = 10.0  # seconds: somebody waits for it


class Notifications:
    """Started once for each process."""

    def __init__(self, kafka: KafkaSettings, tables: ClickHouse, catalog: Catalog) -> None:
        topic = kafka.topic(topics.DELIVERIES)
        deliveries = Deliveries()
        self._follower = Follower(deliveries, KafkaTail(kafka.client(), [topic]))
        self.desk = Desk(
            tables,
            deliveries,
            Publisher(kafka.client(), topic, _TIMEOUT),
            lambda: self._follower.trouble,
            lambda id: catalog.find(Webhook, id) is not None,
        )

    def start(self) -> None:
        self._follower.start()

    def stop(self) -> None:
        self._follower.stop()
