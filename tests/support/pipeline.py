"""The whole pipeline as real processes: stream worker, sink and API, each started again whenever it ends."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from meterline_schemas.settings import ClickHouseSettings
from meterline_sinks.migrate import migrate
from tests.services.clickhouse import execute
from tests.support import cluster
from tests.support.ports import free_port
from tests.support.recount import Count, Key, lines
from tests.support.streams import Streams, wait_until
from tests.support.workload import METRICS

KEY = "test-key"
MODULES = {"stream": "meterline_streams", "sink": "meterline_sinks", "api": "meterline_api"}


class Pipeline(Streams):
    """All of an installation but its servers. ``keep`` starts again what a test kills."""

    def __init__(
        self,
        bootstrap: str,
        prefix: str,
        folder: Path,
        clickhouse: ClickHouseSettings,
        partitions: int = 4,
        **settings: str,
    ) -> None:
        self.clickhouse = clickhouse
        self._port = free_port()
        self._stopping = threading.Event()
        self._keeper: threading.Thread | None = None
        super().__init__(bootstrap, prefix, folder, partitions, **settings)
        migrate(clickhouse)

    def environment(self, name: str, more: Mapping[str, str]) -> dict[str, str]:
        settings = self.clickhouse
        return {
            **super().environment(name, more),
            "METERLINE_CLICKHOUSE_URL": settings.url,
            "METERLINE_CLICKHOUSE_USER": settings.user,
            "METERLINE_CLICKHOUSE_PASSWORD": settings.password.get_secret_value(),
            "METERLINE_CLICKHOUSE_DATABASE": settings.database,
            "METERLINE_SINK_WORKER_ID": name,
            "METERLINE_API_PORT": str(self._port),
            "METERLINE_API_KEY": KEY,
        }

    def keep(self) -> None:
        """Run one of each process from now on, whatever happens to it."""
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()
        wait_until(lambda: self._answers(), 60, "the API answering")

    def _keep(self) -> None:
        while not self._stopping.is_set():
            for name, module in MODULES.items():
                if name not in self.names() or not self.alive(name):
                    self.start(name, module)
            self._stopping.wait(0.2)

    def __exit__(self, *error: Any) -> None:
        self._stopping.set()
        if self._keeper is not None:
            self._keeper.join(10)
        super().__exit__(*error)

    # HTTP

    def post(self, value: bytes) -> None:
        """Send lines to ``POST /v1/events`` until they are acknowledged, as a client that keeps its ids would."""
        for line in lines(value):
            self.expected.add(line, METRICS)

        def acknowledged() -> bool:
            request = urllib.request.Request(
                f"http://127.0.0.1:{self._port}/v1/events",
                data=value,
                headers={"Authorization": f"Bearer {KEY}", "Content-Type": "application/x-ndjson"},
            )
            try:
                with urllib.request.urlopen(request, timeout=15) as answer:
                    assert answer.status == 202
                    return True
            except urllib.error.HTTPError as refused:
                with refused:
                    return refused.code == 400  # none of the lines is an event; 5xx: send the same again
            except (OSError, urllib.error.URLError):
                return False  # nobody listens, or it died in the middle: send the same again

        wait_until(acknowledged, 120, "a request acknowledged")

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/health/live", timeout=5):
                return True
        except OSError:
            return False

    # ClickHouse

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Rows of a query in which ``{db}`` stands for the database; decimals as text."""
        settings = "SETTINGS output_format_json_quote_decimals = 1, output_format_json_quote_64bit_integers = 0"
        text = execute(
            self.clickhouse, f"{sql.replace('{db}', self.clickhouse.database)} FORMAT JSONEachRow {settings}"
        )
        return [json.loads(line) for line in text.splitlines() if line]

    def wait_for_sink(self, seconds: float = 90) -> None:
        """Until ClickHouse holds everything that is judged."""
        watermarks = cluster.judged(self.bootstrap, self.prefix)

        def caught_up() -> bool:
            rows = self.query(
                "SELECT topic, kafka_partition AS p, max(next_offset) AS n FROM {db}.usage_progress GROUP BY topic, p"
            )
            written = {(row["topic"], row["p"]): row["n"] for row in rows}
            return all(
                written.get((topic, partition), 0) >= watermark
                for topic in cluster.OUTPUTS
                for partition, watermark in watermarks.items()
            )

        wait_until(caught_up, seconds, f"ClickHouse caught up with {watermarks}")

    def answers(self, table: str) -> dict[Key, Count]:
        """Counts per tenant, metric and hour: of ``usage_hourly``, or folded from the raw rows of ``usage_events``."""
        if table == "usage_hourly":
            sql = "SELECT *, toString(sum) AS s FROM {db}.usage_hourly"
        else:
            sql = (
                "SELECT tenant_id, metric, toStartOfHour(timestamp) AS hour, count() AS count, "
                "sum(toDecimal256(quantity, 9)) AS sum, min(quantity) AS min, max(quantity) AS max, "
                "argMax(quantity, (timestamp, id)) AS last, argMax(timestamp, (timestamp, id)) AS last_timestamp, "
                "argMax(id, (timestamp, id)) AS last_id FROM {db}.usage_events GROUP BY tenant_id, metric, hour"
            )
        found = {}
        for row in self.query(sql):
            last = (row["last_timestamp"].replace(" ", "T"), row["last_id"], Decimal(row["last"]))
            found[row["tenant_id"], row["metric"], row["hour"].replace(" ", "T")[:13]] = Count(
                int(row["count"]), Decimal(row["sum"]), Decimal(row["min"]), Decimal(row["max"]), last
            )
        return found


def pieces(records: list[tuple[int, bytes]], size: int) -> Iterable[list[tuple[int, bytes]]]:
    for start in range(0, len(records), size):
        yield records[start : start + size]
