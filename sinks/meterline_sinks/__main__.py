"""``python -m meterline_sinks``: carry what is judged from Kafka to ClickHouse until SIGTERM.

Exit code 0 after a clean stop, 1 when going on would lose something or a server shuts it out, 2 for wrong settings.
"""

from __future__ import annotations

import logging
import signal
import sys

from meterline_schemas.allocator import keep_memory
from meterline_schemas.errors import ConfigurationError, MeterlineError
from meterline_schemas.health import serve_health
from meterline_schemas.settings import ClickHouseSettings, KafkaSettings
from meterline_sinks.clickhouse import ClickHouse
from meterline_sinks.kafka import Ends, Source
from meterline_sinks.loop import Loop
from meterline_sinks.settings import SinkSettings, load_all
from meterline_sinks.tables import Tables
from meterline_sinks.watch import Watch

log = logging.getLogger("meterline_sinks")


def run(kafka: KafkaSettings, clickhouse: ClickHouseSettings, sink: SinkSettings) -> None:
    """Wire the parts and work until SIGTERM or SIGINT.

    Raises:
        MeterlineError: with what to do about it.
    """
    source = Source(kafka, sink)
    try:
        loop = Loop(source, Tables(ClickHouse(clickhouse, clickhouse.database, sink.insert_timeout)), sink)
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda _number, _frame: loop.stop())
        watch = Watch(source, loop, Ends(kafka), sink.stuck_after)
        watch.start()
        if sink.health_port:
            serve_health(sink.health_port, watch.health)
        log.info("sink started")
        loop.run()
    finally:
        source.close()
    log.info("sink stopped")


def main() -> int:
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", force=True
    )
    for name in ("urllib3", "clickhouse_connect"):
        logging.getLogger(name).setLevel(logging.ERROR)  # an outage is told once, by the writer
    keep_memory(256)
    try:
        kafka, clickhouse, sink = load_all(KafkaSettings, ClickHouseSettings, SinkSettings)
        run(kafka, clickhouse, sink)
    except ConfigurationError as error:
        log.critical("%s", error)
        return 2
    except MeterlineError as error:
        log.critical("%s", error)
        return 1
    except OSError as error:
        log.critical("cannot serve health: %s; choose another METERLINE_SINK_HEALTH_PORT", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
