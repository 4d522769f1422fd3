"""``meterline doctor``: what is wrong, and what to do about it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from meterline_deploy.options import DataOption

if TYPE_CHECKING:
    from meterline_deploy.doctor import Finding


def register(app: typer.Typer) -> None:
    app.command("doctor")(start)


def start(data: DataOption = Path(".meterline")) -> None:
    """Check what is reachable, the topics and their settings, lag and progress, tables, and clocks.

    Each thing that is wrong comes with what to do about it; then the exit code is 1.

    **Examples**

        meterline doctor

        METERLINE_KAFKA=broker-1:9092 METERLINE_CLICKHOUSE_URL=http://clickhouse:8123 meterline doctor
    """
    import os

    from meterline_deploy import run
    from meterline_deploy.doctor import examine
    from meterline_deploy.errors import NotRunningError
    from meterline_schemas.settings import ClickHouseSettings, KafkaSettings, load

    run.use(data)
    try:
        health = dict(run.find(data).health)
    except NotRunningError:
        health = {}  # servers that are named by variables
    api_url = os.environ.get("METERLINE_API_URL", "http://127.0.0.1:3000")
    wrong = 0
    for finding in examine(load(KafkaSettings), load(ClickHouseSettings), api_url, health):
        typer.echo(line(finding))
        wrong += finding.level == "wrong"
    if wrong:
        typer.echo(f"{wrong} wrong")
        raise typer.Exit(1)
    typer.echo("all is well")


def line(finding: Finding) -> str:
    """A finding on one line, what to do about it on a second."""
    text = f"{finding.level:<5}  {finding.subject}: {finding.found}"
    return f"{text}\n       → {finding.fix}" if finding.fix else text
