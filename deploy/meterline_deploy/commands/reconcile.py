"""``meterline reconcile``: prove that every judged line counts exactly once, in Kafka and in ClickHouse."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from meterline_deploy.commands.problems import usage_errors
from meterline_deploy.options import DataOption


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"


def register(app: typer.Typer) -> None:
    app.command("reconcile")(reconcile)


def reconcile(
    from_: Annotated[str | None, typer.Option("--from", metavar="TIME", help="From this time on.")] = None,
    to: Annotated[str | None, typer.Option("--to", metavar="TIME", help="To before this time.")] = None,
    format: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.TABLE,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for ClickHouse to be written.")] = 30.0,
    limit: Annotated[int, typer.Option(min=1, help="Differences listed of each check.")] = 100,
    data: DataOption = Path(".meterline"),
) -> None:
    """Prove that every judged line counts exactly once, in Kafka and in ClickHouse.

    Reads the topics and ClickHouse for itself and compares: each line of usage.events has one verdict; the rows,
    totals and answers in ClickHouse are what the verdicts say. Every difference is listed with its key and exact
    amounts. The last line starts with `exact:` or `DIFFERENT:`.

    `--from` and `--to` limit lines and rows by the time at which the broker received them, totals and answers by the
    hours that events happened in. Each is a day (00:00 UTC) or an instant in RFC 3339.

    Exit code: 0 exact; 1 different, or it could not be checked; 2 wrong options.

    **Examples**

        meterline reconcile

        meterline reconcile --from 2026-11-01 --to 2026-12-01

        meterline reconcile --from 2026-11-21T06:00:00Z --wait 120

        meterline reconcile --format json | jq .verdict
    """
    import json

    from rich.console import Console

    from meterline_deploy.commands.progress import Progress
    from meterline_deploy.reconcile.render import print_report
    from meterline_deploy.reconcile.run import Asked
    from meterline_deploy.reconcile.run import reconcile as run
    from meterline_deploy.reconcile.times import Period
    from meterline_deploy.run import use
    from meterline_schemas.settings import ClickHouseSettings, KafkaSettings, load

    with usage_errors():
        period = Period.parse(from_, to)
    use(data)
    with Progress() as steps:
        report = run(load(KafkaSettings), load(ClickHouseSettings), Asked(period, wait, limit), steps)
    if format is Format.JSON:
        typer.echo(json.dumps(report.as_json(), indent=2, ensure_ascii=False))
    else:
        print_report(report, Console())
    if not report.exact:
        raise typer.Exit(1)
