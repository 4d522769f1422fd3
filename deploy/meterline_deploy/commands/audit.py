"""``meterline audit``: who did what, and whether that log is whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from meterline_deploy.commands.api import Api
from meterline_deploy.commands.catalog import Form, FormOption
from meterline_deploy.commands.problems import usage_errors
from meterline_deploy.options import DataOption


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True)
    group.command("list")(show_all)
    group.command("verify")(verify)
    app.add_typer(group, name="audit", help="Who did what, and whether that log is whole.")


def show_all(
    actor: Annotated[str | None, typer.Option(help="Only what this one did.")] = None,
    action: Annotated[str | None, typer.Option(help="Only this action, such as quota.updated.")] = None,
    type: Annotated[str | None, typer.Option("--type", help="Only this kind of thing, such as quota.")] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only of this tenant; empty: of none.")] = None,
    from_: Annotated[str | None, typer.Option("--from", metavar="TIME", help="From this instant on.")] = None,
    to: Annotated[str | None, typer.Option("--to", metavar="TIME", help="Before this instant.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="So many, the newest.")] = 20,
    data: DataOption = Path(".meterline"),
    form: FormOption = Form.TABLE,
) -> None:
    """List the audit log, the newest first. All times are UTC.

    --from and --to are days (00:00 UTC) or instants in RFC 3339.

    **Examples**

        meterline audit list

        meterline audit list --tenant acme --from 2026-11-01

        meterline audit list --action key.created --limit 1000 --format json
    """
    from meterline_deploy.audit_text import print_list
    from meterline_deploy.reconcile.times import Period
    from meterline_deploy.run import use

    with usage_errors():
        period = Period.parse(from_, to)
    times = {"from": period.start, "to": period.end}
    use(data)
    query = [(name, moment.isoformat()) for name, moment in times.items() if moment is not None]
    asked = (("actor", actor), ("action", action), ("resource_type", type), ("tenant_id", tenant))
    query += [(name, value) for name, value in asked if value is not None]
    found, more = Api.of_environment().pages("/v1/audit", query, limit)
    if form is Form.JSON:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
    elif found:
        print_list(found)
    else:
        typer.echo("no such entries" if query else "nothing has been written yet")
    if more:
        typer.echo(f"there are older ones: --limit {limit * 10}", err=True)


def verify(
    head: Annotated[
        list[str] | None,
        typer.Option("--head", metavar="SEQ:HASH", help="An entry as it was written down before; may be repeated."),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for ClickHouse to be written.")] = 30.0,
    limit: Annotated[int, typer.Option(min=1, help="Problems that are listed.")] = 100,
    data: DataOption = Path(".meterline"),
) -> None:
    """Show that no entry of the audit log was edited, removed, put in or moved.

    Reads the whole log in Kafka, computes every hash again, and compares each entry with its copy in ClickHouse. Who
    could rewrite both, and all hashes, is found out by --head: print it now and then and keep it elsewhere. The last
    line starts with `valid:` or `BROKEN:`.

    Exit code: 0 valid; 1 broken, or it could not be looked at; 2 wrong options.

    **Examples**

        meterline audit verify

        meterline audit verify --head 18:d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35

        meterline audit verify --json | jq .head
    """
    from meterline_deploy.audit.verdict import Head, Verdict
    from meterline_deploy.audit.verify import verify as look
    from meterline_deploy.commands.progress import Progress
    from meterline_deploy.reconcile.warehouse import Warehouse
    from meterline_deploy.run import use
    from meterline_schemas.settings import ClickHouseSettings, KafkaSettings, load

    with usage_errors():
        heads = [Head.parse(text) for text in head or ()]
    use(data)
    tables = Warehouse(load(ClickHouseSettings))
    try:
        with Progress() as steps:
            verdict = look(load(KafkaSettings), tables, heads, wait, Verdict(limit), steps)
    finally:
        tables.close()
    if json_:
        typer.echo(json.dumps(verdict.as_json(), indent=2, ensure_ascii=False))
    else:
        for problem in verdict.problems:
            typer.echo(str(problem))
        if verdict.entries:
            typer.echo(f"head: {verdict.seq}:{verdict.hash}")
        typer.echo(verdict.closing())
    if not verdict.valid:
        raise typer.Exit(1)
