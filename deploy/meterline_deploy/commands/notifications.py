"""``meterline notifications``: what was told, to whom, how that went; and telling it once more."""

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
from meterline_schemas.notification import Type

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="As `notifications list` shows it: ntf_…")]

TypeOption = Annotated[Type | None, typer.Option("--type", metavar="TYPE", help=f"Only this type: {', '.join(Type)}.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True)
    group.command("list")(show_all)
    group.command("show")(show)
    group.command("resend")(resend)
    app.add_typer(group, name="notifications", help="What was told to webhooks and mailboxes, and how that went.")


def show_all(
    type: TypeOption = None,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only of this tenant; empty: of none.")] = None,
    metric: Annotated[str | None, typer.Option(help="Only of this metric.")] = None,
    from_: Annotated[str | None, typer.Option("--from", metavar="TIME", help="From this instant on.")] = None,
    to: Annotated[str | None, typer.Option("--to", metavar="TIME", help="Before this instant.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="So many, the newest.")] = 20,
    data: DataOption = Path(".meterline"),
    form: FormOption = Form.TABLE,
) -> None:
    """List notifications, the newest first. All times are UTC.

    --from and --to are days (00:00 UTC) or instants in RFC 3339.

    **Examples**

        meterline notifications list

        meterline notifications list --type threshold.exceeded --tenant acme --from 2026-11-01

        meterline notifications list --limit 1000 --format json | jq -r '.[].id'
    """
    from meterline_deploy.notifications_text import print_list
    from meterline_deploy.reconcile.times import Period
    from meterline_deploy.run import use

    with usage_errors():
        period = Period.parse(from_, to)
    times = {"from": period.start, "to": period.end}
    use(data)
    query = [(name, moment.isoformat()) for name, moment in times.items() if moment is not None]
    query += [
        (name, value)
        for name, value in (("type", type), ("tenant_id", tenant), ("metric", metric))
        if value is not None
    ]
    found, more = Api.of_environment().pages("/v1/notifications", query, limit)
    if form is Form.JSON:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
    elif found:
        print_list(found)
    else:
        typer.echo("no such notifications" if query else "nothing was told yet")
    if more:
        typer.echo(f"there are older ones: --limit {limit * 10}", err=True)


def show(id: IdArgument, data: DataOption = Path(".meterline"), form: FormOption = Form.TABLE) -> None:
    """Show a notification: what was told, to whom, and every attempt.

    **Examples**

        meterline notifications show ntf_2c6f8a34b1ce2f60f0b5a4d98d1f37ab

        meterline notifications show ntf_2c6f8a34b1ce2f60f0b5a4d98d1f37ab --format json
    """
    from meterline_deploy.notifications_text import print_one
    from meterline_deploy.run import use

    use(data)
    found = Api.of_environment().ask("GET", _path(id))
    if form is Form.JSON:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        print_one(found)


def resend(
    id: IdArgument,
    target: Annotated[
        str, typer.Option(metavar="TARGET", help="webhook/ID or email/ADDRESS; without it all that were to be told.")
    ] = "",
    data: DataOption = Path(".meterline"),
) -> None:
    """Tell a notification once more, with the same webhook-id. The notifier does it as soon as it runs.

    A webhook that was not told before may be the target; an address may not.

    **Examples**

        meterline notifications resend ntf_2c6f8a34b1ce2f60f0b5a4d98d1f37ab

        meterline notifications resend ntf_2c6f8a34b1ce2f60f0b5a4d98d1f37ab --target webhook/crm
    """
    from meterline_deploy.run import use

    use(data)
    Api.of_environment().ask("POST", _path(id) + "/resend", body={"target": target} if target else {})
    typer.echo(f"{id} is told once more to {target or 'all that were to be told'}")
    typer.echo(f"`meterline notifications show {id}` says how it went", err=True)


def _path(id: str) -> str:
    return f"/v1/notifications/{quote(id, safe='')}"
