"""What the routes share: the way into Kafka, the catalog, the tables, and how all of them are."""

from __future__ import annotations

from collections.abc import Sequence, Set
from datetime import datetime

from meterline.ingest import Ingest
from meterline.records import Line
from meterline_api.catalog import Catalog
from meterline_api.clickhouse import ClickHouse
from meterline_api.door import Reach, Verdict, Window, judge
from meterline_api.quotas.desk import Desk
from meterline_api.settings import ApiSettings
from meterline_api.submissions import Submission
from meterline_api.watch import Watch
from meterline_schemas.errors import PartitionCountError
from meterline_schemas.reading import InvalidLine
from meterline_schemas.settings import JudgeSettings


class Service:
    """Made once for each process, when its event loop runs."""

    def __init__(
        self,
        settings: ApiSettings,
        window: Window,
        topic: str,
        ingest: Ingest,
        catalog: Catalog,
        clickhouse: ClickHouse,
        watch: Watch,
        quotas: Desk,
        judging: JudgeSettings | None = None,
    ) -> None:
        self.settings = settings
        self.window = window
        self.catalog = catalog
        self.clickhouse = clickhouse
        self.watch = watch
        self.quotas = quotas
        self._topic = topic
        self._ingest = ingest
        self._judging = judging or JudgeSettings()

    @property
    def counted(self) -> Set[str] | None:
        """The tenants whose events count; None: everybody's."""
        return self._judging.counted(self.catalog.book.tenants)

    def judge(
        self,
        submissions: Sequence[Submission | InvalidLine],
        key: str | None,
        now: datetime,
        reach: Reach | None = None,
    ) -> list[Verdict]:
        """What becomes of each event of a request, as ``door.judge``."""
        return judge(submissions, key, now, self.window, self.quotas.barrier(now), reach)

    async def send(self, lines: Sequence[Line], offsets: dict[int, int] | None = None) -> list[bool]:
        """For each line whether Kafka acknowledged it; ``offsets`` as ``Ingest.send``.

        Raises:
            UnavailableError: nothing was sent.
            PartitionCountError: nothing was sent, the topic is not the one that Meterline was set up with.
        """
        expected, found = self.catalog.partitions, self._ingest.partitions
        if expected and found and expected != found:
            raise PartitionCountError(self._topic, expected, found)
        return await self._ingest.send(lines, offsets)

    def trouble(self) -> str:
        """Why events are not taken, or nothing."""
        expected, found = self.catalog.partitions, self._ingest.partitions
        if not found:
            return self._ingest.trouble
        if expected and expected != found:
            return str(PartitionCountError(self._topic, expected, found))
        return self.watch.kafka_trouble
