"""``python -m meterline_streams``: one stream worker."""

from __future__ import annotations

import gc
import logging
import os
import sys

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy comes in: its algebra is not used, its threads spin

import faust
from faust.types import TP

from meterline_schemas import topics
from meterline_schemas.allocator import give_memory_back
from meterline_schemas.errors import MeterlineError
from meterline_schemas.health import serve_health
from meterline_schemas.kafka_log import KafkaLog
from meterline_schemas.settings import load
from meterline_streams.app import build
from meterline_streams.catalog import Catalog
from meterline_streams.preflight import check_topics
from meterline_streams.security import security_of, unused
from meterline_streams.settings import StreamSettings


def main() -> int:
    """Run until SIGTERM (0) or until going on would not be exact (70; 1 where it never began)."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for name in ("faust", "mode", "aiokafka"):
        logging.getLogger(name).setLevel(logging.WARNING)
    give_memory_back()
    try:
        settings = load(StreamSettings)
        security_of(settings.kafka_config)  # before Kafka is asked for anything
        catalog = Catalog(KafkaLog(settings.client(), settings.topic(topics.CONFIG), 0), settings.denied_properties)
        catalog.refresh()
        partitions = check_topics(settings, catalog.partitions)
        app, worker = build(settings, partitions, catalog)
    except MeterlineError as error:
        logging.getLogger("meterline.streams").critical("cannot start: %s", error)
        return 1
    not_used = unused(settings.kafka_config)
    if not_used:
        names = ", ".join(not_used)
        logging.getLogger("meterline.streams").info("of METERLINE_KAFKA_CONFIG the consumer does not use %s", names)
    # a batch makes hundreds of thousands of objects and no cycles: looking for some in each costs a sixth of the time
    gc.freeze()
    gc.set_threshold(200_000, 20, 50)
    events = settings.topic(topics.EVENTS)

    def lag(partition: int) -> int | None:
        highwater = app.consumer.highwater(TP(events, partition))
        return None if highwater is None else max(0, highwater - worker.next_offset(partition))

    try:
        if settings.stream_health_port:
            serve_health(settings.stream_health_port, lambda: worker.health(lag))
    except MeterlineError as error:
        logging.getLogger("meterline.streams").critical("cannot start: %s", error)
        return 1
    runner = faust.Worker(app, loglevel="WARNING", quiet=True, override_logging=False)
    runner.spinner = None  # its control characters do not belong in a log
    runner.execute_from_commandline()
    return 0


if __name__ == "__main__":
    sys.exit(main())
