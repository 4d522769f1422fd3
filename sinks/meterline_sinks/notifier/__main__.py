"""``python -m meterline_sinks.notifier``: tell webhooks and mailboxes of what happened, until SIGTERM.

Exit code 0 after a clean stop, 1 when going on is pointless, 2 for wrong settings.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Event
from typing import Final

from meterline_schemas.allocator import keep_memory
from meterline_schemas.errors import ConfigurationError, MeterlineError
from meterline_schemas.health import serve_health
from meterline_schemas.kafka_log import KafkaLog
from meterline_schemas.settings import KafkaSettings
from meterline_schemas.topics import CONFIG
from meterline_sinks.failpoint import Failpoint
from meterline_sinks.notifier.catalog import Catalog
from meterline_sinks.notifier.dispatcher import Dispatcher
from meterline_sinks.notifier.index import Open
from meterline_sinks.notifier.intake import Intake
from meterline_sinks.notifier.kafka import Ends, Source
from meterline_sinks.notifier.ledger import LedgerReader, LedgerWriter, entry_of
from meterline_sinks.notifier.outcome import Policy
from meterline_sinks.notifier.settings import NotifySettings, SmtpSettings
from meterline_sinks.notifier.smtp import Mailboxes
from meterline_sinks.notifier.watch import Watch
from meterline_sinks.notifier.webhook import Webhooks
from meterline_sinks.settings import load_all

log = logging.getLogger("meterline_sinks.notifier")

_CATALOG_SECONDS: Final = 10.0
_FINISH_SECONDS: Final = 1.0
_INTAKE_SECONDS: Final = 2.0
_FLUSH_SECONDS: Final = 1.0


async def run(kafka: KafkaSettings, notify: NotifySettings, smtp: SmtpSettings) -> None:
    """Wire the parts and work until SIGTERM or SIGINT.

    Raises:
        MeterlineError: with what to do about it.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    failpoint = Failpoint(notify.crash)
    catalog = Catalog(KafkaLog(kafka.client(), kafka.topic(CONFIG), 0, timeout=_CATALOG_SECONDS))
    writer = LedgerWriter(kafka)
    webhooks = Webhooks(notify.allow_private, notify.timeout)
    dispatcher = Dispatcher(
        webhooks,
        Mailboxes(smtp, notify.timeout),
        catalog.webhook,
        lambda opened: writer.send(entry_of(opened)),
        Policy(notify.retry_delays, notify.give_up_after),
        notify.concurrency,
        lambda: failpoint.reach("before_outcome"),
    )

    def end(failure: BaseException | None = None) -> None:
        if not ended.done():
            ended.set_exception(failure) if failure is not None else ended.set_result(None)

    def soon(act: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop has ended, and this process with it
            loop.call_soon_threadsafe(act)

    def begin(opened: Sequence[Open]) -> None:
        soon(lambda: dispatcher.start(opened))

    def drop() -> None:
        done = Event()

        def act() -> None:
            dispatcher.drop()
            done.set()

        soon(act)
        done.wait()  # nothing of theirs may be written behind this

    source = Source(kafka, notify.worker_id)
    intake = Intake(
        source,
        LedgerReader(kafka),
        writer,
        catalog,
        begin,
        drop,
        lambda failure: soon(lambda: end(failure)),
        failpoint,
        notify.operators,
    )
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, end)
    watch = Watch(source, intake, dispatcher, Ends(kafka), notify.stuck_after)
    watch.start()
    if notify.health_port:
        serve_health(notify.health_port, watch.health)
    intake.start()
    log.info("notifier started")
    try:
        await ended
    finally:
        intake.stop()
        await dispatcher.finish(_FINISH_SECONDS)
        await webhooks.close()
        await asyncio.to_thread(intake.join, _INTAKE_SECONDS)
        writer.flush(_FLUSH_SECONDS)
    log.info("notifier stopped")


def main() -> int:
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", force=True
    )
    keep_memory(256)
    try:
        asyncio.run(run(*load_all(KafkaSettings, NotifySettings, SmtpSettings)))
    except ConfigurationError as error:
        log.critical("%s", error)
        return 2
    except MeterlineError as error:
        log.critical("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
