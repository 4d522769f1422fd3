"""``meterline tenant``: making what names people in a tenant's rows unreadable."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from meterline_deploy.options import DataOption


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True)
    group.command("erase")(erase)
    app.add_typer(group, name="tenant", help="Erase what names people in a tenant's rows.")


def erase(
    tenant: Annotated[str, typer.Argument(metavar="TENANT", help="Id of the tenant.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be erased, and erase nothing.")] = False,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait until everything is judged and written.")] = 60.0,
    data: DataOption = Path(".meterline"),
) -> None:
    """Make a tenant's raw rows in ClickHouse anonymous, for good. Totals and invoices stay, and stay provable.

    Subjects and values of properties become random tokens, the same for equal values; the text of rejected lines is
    removed. Ids of events, sources and the tenant's own id stay. It is for a tenant who has left: a subject that
    comes again afterwards counts as another one. Kafka keeps its copies until their retention ends.

    **Examples**

        meterline tenant erase acme --dry-run

        meterline tenant erase acme

        meterline tenant erase acme --yes --wait 600
    """
    from meterline_deploy.commands.progress import Progress
    from meterline_deploy.erase.run import Eraser, NothingError
    from meterline_deploy.run import use
    from meterline_schemas.settings import ClickHouseSettings, KafkaSettings, load

    use(data)
    with Progress() as steps:
        eraser = Eraser(load(KafkaSettings), load(ClickHouseSettings), steps)
        until = eraser.settled(wait)
        found = eraser.found(tenant, until)
    try:
        if not found.anything:
            raise NothingError(tenant)
        typer.echo(
            f"tenant {tenant!r}: {found.events:,} events of {found.subjects:,} subjects, {found.rejected_lines:,} "
            f"rejected lines, {found.notifications:,} notifications of subjects"
        )
        if found.newest:
            typer.echo(f"its newest event came at {found.newest} UTC; what comes from now on is not erased")
        if dry_run:
            typer.echo("nothing was erased (--dry-run)")
            return
        if not yes:
            typer.confirm("Erase them? It cannot be undone", abort=True)
        with Progress() as steps:
            eraser.watch(steps)
            done = eraser.erase(tenant, until, found, wait)
    finally:
        eraser.close()
    typer.echo(f"erased: entry {done.seq} of the audit log")
    typer.echo(
        "Kafka still has the text: usage.events for 7 days, usage.accepted, usage.rejected and "
        "meterline.notifications for 45; and what was exported is elsewhere. After a rebuild from Kafka, erase again",
        err=True,
    )
