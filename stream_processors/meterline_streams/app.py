"""Faust, for what it does well: the consumer group, assignment, the agent, the timer, the worker's life.

No tables, no processing guarantee of Faust's own, no acknowledgement before our commit.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import AsyncIterable
from pathlib import Path
from typing import Any, Final

import faust
from faust.types import TP

from meterline_schemas import topics
from meterline_streams.catalog import Catalog
from meterline_streams.credentials import credentials
from meterline_streams.failpoints import reach
from meterline_streams.security import security_of
from meterline_streams.settings import StreamSettings
from meterline_streams.transport import Transport
from meterline_streams.worker import Worker, die

_STOP_SECONDS: Final = 8.0
_TICK_SECONDS: Final = 0.1


class _App(faust.App):  # type: ignore[misc]
    """A Faust app that ends its process instead of living on half dead."""

    async def crash(self, reason: BaseException) -> None:
        die(reason)

    async def on_stop(self) -> None:
        deadline = threading.Timer(_STOP_SECONDS, os._exit, (0,))
        deadline.daemon = True
        deadline.start()
        await super().on_stop()


class _Commits(faust.Sensor):  # type: ignore[misc]
    """Tells the failpoints when Faust commits group offsets."""

    def on_commit_initiated(self, consumer: Any) -> Any:
        reach("before_group_commit")
        return super().on_commit_initiated(consumer)


def build(settings: StreamSettings, partitions: int, catalog: Catalog) -> tuple[Any, Worker]:
    """The Faust app and the worker it drives.

    Raises:
        ConfigurationError: Faust cannot connect as METERLINE_KAFKA_CONFIG says.
    """
    app = _App(
        settings.topic(topics.STREAM_GROUP),
        broker=[f"kafka://{server}" for server in settings.kafka.split(",")],
        broker_credentials=credentials(security_of(settings.kafka_config)),
        store="memory://",
        web_enabled=False,
        topic_partitions=partitions,
        topic_allow_declare=False,
        topic_disable_leader=True,
        broker_max_poll_records=2000,
        broker_session_timeout=settings.session_seconds,
        broker_heartbeat_interval=settings.session_seconds / 4,
        broker_commit_interval=1.0,
        broker_commit_every=1_000_000,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=settings.stream_worker_id,
        consumer_max_fetch_size=4 * 1024 * 1024,
        stream_buffer_maxsize=512,
        stream_wait_empty=False,
        worker_redirect_stdouts=False,
        datadir=Path(tempfile.gettempdir()) / "meterline-faust",  # Faust makes it; without tables it stays empty
    )
    app.transport = Transport(app.conf.broker_consumer, app)
    app.sensors.add(_Commits())
    events = settings.topic(topics.EVENTS)

    async def seek(partition: int, offset: int) -> None:
        await app.consumer.seek(TP(events, partition), offset)

    worker = Worker(settings, partitions, catalog, seek)
    topic = app.topic(events, value_type=bytes, value_serializer="raw", key_serializer="raw", partitions=partitions)

    @app.agent(topic)  # type: ignore[untyped-decorator]
    async def meter(stream: AsyncIterable[Any]) -> None:
        try:
            async for event in stream.noack().events():  # type: ignore[attr-defined]
                await worker.receive(event)
        except Exception as error:
            die(error)

    @app.timer(_TICK_SECONDS)  # type: ignore[untyped-decorator]
    async def tick() -> None:
        try:
            await worker.tick()
        except Exception as error:
            die(error)

    @app.on_partitions_assigned.connect  # type: ignore[untyped-decorator]
    async def assigned(_app: Any, assigned: set[TP], **_kwargs: Any) -> None:
        worker.assign(tp.partition for tp in assigned if tp.topic == events)

    @app.on_partitions_revoked.connect  # type: ignore[untyped-decorator]
    async def revoked(_app: Any, revoked: set[TP], **_kwargs: Any) -> None:
        await worker.revoke(tp.partition for tp in revoked if tp.topic == events)

    return app, worker
