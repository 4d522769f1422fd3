"""``meterline env``: how to connect, for a shell."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import typer

from meterline_deploy.options import DataOption

ALWAYS: Final = (
    "METERLINE_KAFKA",
    "METERLINE_CLICKHOUSE_URL",
    "METERLINE_CLICKHOUSE_USER",
    "METERLINE_CLICKHOUSE_PASSWORD",
    "METERLINE_CLICKHOUSE_ANALYST_USER",
    "METERLINE_CLICKHOUSE_ANALYST_PASSWORD",
    "METERLINE_API_URL",
    "METERLINE_API_KEY",
)
DEFAULTS: Final = {
    "METERLINE_KAFKA_CONFIG": "{}",
    "METERLINE_TOPIC_PREFIX": "",
    "METERLINE_CLICKHOUSE_DATABASE": "meterline",
}  # printed where they are otherwise


def register(app: typer.Typer) -> None:
    app.command("env")(show)


def show(data: DataOption = Path(".meterline")) -> None:
    """Print how to connect to a running `meterline up`, as shell exports. They stay the same from start to start.

    **Examples**

        eval "$(meterline env)"

        eval "$(meterline env --data /var/lib/meterline)"

        curl -u "$METERLINE_CLICKHOUSE_USER:$METERLINE_CLICKHOUSE_PASSWORD" "$METERLINE_CLICKHOUSE_URL" -d 'SELECT 1'
    """
    from meterline_deploy import run

    typer.echo(exports(run.find(data).environment()))


def exports(environment: Mapping[str, str]) -> str:
    """Lines that a POSIX shell takes; settings that are the default are left out, but for how to connect."""
    names = [*ALWAYS, *(name for name, default in DEFAULTS.items() if environment[name] != default)]
    return "\n".join(f"export {name}={shlex.quote(environment[name])}" for name in names)
