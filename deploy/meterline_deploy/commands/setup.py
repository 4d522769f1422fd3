"""``meterline setup``: topics and tables on servers that exist."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from meterline_deploy.options import DataOption


def register(app: typer.Typer) -> None:
    app.command("setup")(start)


def start(
    data: DataOption = Path(".meterline"),
    partitions: Annotated[
        int | None,
        typer.Option(min=1, max=10_000, help="Partitions of usage.events: 8 at first, and the same ever after."),
    ] = None,
    replication: Annotated[
        int | None,
        typer.Option(min=1, max=10, help="Replicas of topics that are made now: 3 where there are three brokers."),
    ] = None,
    correct: Annotated[bool, typer.Option("--correct", help="Also set what differs in topics that exist.")] = False,
) -> None:
    """Make the topics and the tables that are missing. Safe to run again; `meterline up` does it by itself.

    Exits with 1 where topics that exist are set otherwise than they must be, unless --correct sets them.

    **Examples**

        METERLINE_KAFKA=broker-1:9092 METERLINE_CLICKHOUSE_URL=http://clickhouse:8123 meterline setup --partitions 64

        meterline setup --correct
    """
    from meterline_deploy import run, topics
    from meterline_deploy.setup import applied_migrations, set_up_topics
    from meterline_schemas.settings import ClickHouseSettings, KafkaSettings, load

    run.use(data)
    kafka, clickhouse = load(KafkaSettings), load(ClickHouseSettings)
    report = set_up_topics(kafka, partitions, replication)
    typer.echo(f"topics: {report.partitions} partitions")
    if correct:
        for difference in topics.correct(kafka):
            typer.echo(f"corrected: {difference}")
    else:
        for line in report.differences:
            typer.echo(line)
    for name in applied_migrations(clickhouse):
        typer.echo(f"applied {name}")
    typer.echo("tables: up to date")
    if report.differences and not correct:
        typer.echo("`meterline setup --correct` sets what differs")
        raise typer.Exit(1)
