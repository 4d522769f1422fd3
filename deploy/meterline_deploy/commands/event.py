"""``meterline event``: the whole life of an event."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from meterline_deploy.commands.api import Api
from meterline_deploy.commands.catalog import Form, FormOption
from meterline_deploy.commands.problems import usage_errors
from meterline_deploy.options import DataOption


def register(app: typer.Typer) -> None:
    app.command("event")(event)


def event(
    id: Annotated[str, typer.Argument(metavar="ID", help="Of the event, as its producer made it.")],
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only of this tenant.")] = None,
    metric: Annotated[str | None, typer.Option(help="Only of this metric.")] = None,
    from_: Annotated[str | None, typer.Option("--from", metavar="TIME", help="It happened from this time on.")] = None,
    to: Annotated[str | None, typer.Option("--to", metavar="TIME", help="It happened before this time.")] = None,
    data: DataOption = Path(".meterline"),
    form: FormOption = Form.TABLE,
) -> None:
    """Show the life of an event: where each copy was read, what was judged of it and why, and what it is part of.

    --tenant, --metric, --from and --to (days or instants in RFC 3339) make it fast where there are very many events.

    Exit code: 0 found; 1 there is none, or the API does not answer; 2 wrong options.

    **Examples**

        meterline event o-1

        meterline event o-1 --tenant acme --format json
    """
    from meterline_deploy.event_text import print_lives
    from meterline_deploy.reconcile.times import Period
    from meterline_deploy.run import use

    with usage_errors():
        if not id:
            raise typer.BadParameter("the id is empty")
        period = Period.parse(from_, to)
    use(data)
    query = [(name, value) for name, value in (("tenant_id", tenant), ("metric", metric)) if value is not None]
    query += [(name, at.isoformat()) for name, at in (("from", period.start), ("to", period.end)) if at is not None]
    found = Api.of_environment().ask("GET", f"/v1/events/{quote(id, safe='')}", query)
    if form is Form.JSON:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        print_lives(found["data"])
    if found["more"]:
        typer.echo("there is more: narrow it down with --tenant, --metric, --from and --to", err=True)
