"""``meterline billing exceptions``: what needs a person before billing is whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from meterline_api.billing.exceptions.found import Kind
from meterline_deploy.commands.api import Api
from meterline_deploy.commands.catalog import Form, FormOption
from meterline_deploy.one_line import one_line
from meterline_deploy.options import DataOption

_PATH: Final = "/v1/billing/exceptions"


def exceptions(
    kind: Annotated[list[Kind] | None, typer.Option(metavar="KIND", help=f"Only these: {', '.join(Kind)}.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only of this tenant.")] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help="Usage from then on; by default from the last month on."),
    ] = None,
    fail: Annotated[bool, typer.Option("--fail", help="Exit code 1 where there are any, for cron.")] = False,
    data: DataOption = Path(".meterline"),
    form: FormOption = Form.TABLE,
) -> None:
    """List what needs a person before billing is whole, each with what to do. All times are UTC.

    Exit code: 0; with --fail 1 where there is any; 1 where the API refuses or does not answer.

    **Examples**

        meterline billing exceptions

        meterline billing exceptions --kind not_closed --kind payment_failed --fail

        meterline billing exceptions --tenant acme --format json | jq -r '.[].action'
    """
    from meterline_deploy.commands.problems import usage_errors
    from meterline_deploy.reconcile.times import parse_instant
    from meterline_deploy.run import use

    with usage_errors():
        since = None if start is None else parse_instant(start, "--from").isoformat()
    use(data)
    query = [*(("kind", str(each)) for each in kind or ())]
    query += [(name, value) for name, value in (("tenant_id", tenant), ("from", since)) if value is not None]
    found, _more = Api.of_environment().pages(_PATH, query)
    if form is Form.JSON:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
    elif found:
        _print(found)
    else:
        typer.echo("no exceptions")
    if found and fail:
        raise typer.Exit(1)


def _print(found: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("kind", no_wrap=True)
    table.add_column("since", no_wrap=True)
    table.add_column("what it is, and what to do", overflow="fold")
    for each in found:
        table.add_row(each["kind"], each["since"] or "", f"{one_line(each['detail'])}\n→ {one_line(each['action'])}")
    Console(markup=False, highlight=False).print(table)
