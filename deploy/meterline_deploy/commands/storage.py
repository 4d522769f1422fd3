"""``meterline storage``: how much each tenant stores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from meterline_deploy.commands.api import Api
from meterline_deploy.commands.catalog import Form, FormOption
from meterline_deploy.commands.report import grouped
from meterline_deploy.one_line import one_line
from meterline_deploy.options import DataOption

_SECONDS: Final = 6 * 3600.0  # all that is stored is listed


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True)
    group.callback()(lambda: None)  # one command is a group as well
    group.command("measure")(measure)
    app.add_typer(group, name="storage", help="Measure how much each tenant stores.")


def measure(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Measure, and count nothing.")] = False,
    data: DataOption = Path(".meterline"),
    form: FormOption = Form.TABLE,
) -> None:
    """Measure how much each tenant stores, count it as a reading of this moment, and print it.

    The API does it, where METERLINE_STORAGE_URL says that tenants' data lies; it does so on schedule as well.

    Exit code: 0 done; 1 a tenant could not be measured, or the API refuses or does not answer.

    **Examples**

        meterline storage measure --dry-run

        meterline storage measure --format json
    """
    from meterline_deploy.run import use

    use(data)
    query = [("dry_run", "true")] if dry_run else []
    found = Api.of_environment().ask("POST", "/v1/storage/measure", query, timeout=_SECONDS)
    if form is Form.JSON:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        _print(found)
    if found["failed"]:
        raise typer.Exit(1)


def _print(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(markup=False, highlight=False)
    if found["data"]:
        table = Table(box=None, pad_edge=False)
        table.add_column("tenant", overflow="fold")
        table.add_column("bytes", justify="right", no_wrap=True)
        table.add_column(found["unit"], justify="right", no_wrap=True)
        for each in found["data"]:
            table.add_row(one_line(each["tenant_id"]), f"{each['bytes']:,}", grouped(each["quantity"]))
        console.print(table)
    for error in found["errors"]:
        typer.echo(f"{one_line(error['tenant_id'])}: {one_line(error['detail'])}", err=True)
    done = "nothing was counted" if found["dry_run"] else f"counted as {found['metric']} at {found['at']}"
    console.print(
        f"{found['measured']:,} tenants, {found['bytes']:,} bytes, {found['failed']:,} failed; {one_line(done)}",
        soft_wrap=True,
    )
