"""``meterline up``: run everything on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from meterline_deploy.options import DataOption


def register(app: typer.Typer) -> None:
    app.command("up")(start)


def start(
    data: DataOption = Path(".meterline"),
    kafka_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the embedded Kafka.")] = 9092,
    clickhouse_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the embedded ClickHouse.")] = 8123,
    api_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the HTTP API.")] = 3000,
    partitions: Annotated[
        int | None,
        typer.Option(
            min=1, max=10_000, help="Partitions of usage.events: 8 at the first start, and the same ever after."
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Stream workers, which share the partitions.")] = 1,
    kafka: Annotated[
        str | None,
        typer.Option(metavar="BOOTSTRAP", help="Use this Kafka instead of an embedded one."),
    ] = None,
    clickhouse: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Use this ClickHouse instead of an embedded one."),
    ] = None,
) -> None:
    """Run Kafka, ClickHouse, the stream workers, the sinks and the API on this machine until Ctrl-C.

    Everything is kept in the data folder and is there again at the next start, even after kill -9.
    Prints a line per part as it comes up, then one that starts with `ready`. Logs are in DATA/logs.

    Who logs in to servers of your own is in METERLINE_KAFKA_CONFIG (SASL, TLS as JSON), METERLINE_CLICKHOUSE_USER and
    METERLINE_CLICKHOUSE_PASSWORD.

    **Examples**

        meterline up

        meterline up --data /var/lib/meterline --api-port 8080

        meterline up --kafka broker-1:9092,broker-2:9092 --clickhouse http://clickhouse:8123
    """
    from meterline_deploy.stopping import Stopping

    stopping = Stopping()
    stopping.listen()

    from meterline_deploy.plan import Options
    from meterline_deploy.up import up

    if clickhouse is not None and not clickhouse.startswith(("http://", "https://")):
        raise typer.BadParameter("write it like http://clickhouse:8123", param_hint="--clickhouse")
    options = Options(
        data=data,
        kafka_port=kafka_port,
        clickhouse_port=clickhouse_port,
        api_port=api_port,
        partitions=partitions,
        workers=workers,
        kafka=kafka,
        clickhouse=clickhouse,
    )
    up(options, stopping, lambda line: print(line, flush=True))
