"""``meterline billing``: billing's jobs, done now or looked at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from meterline_deploy.commands.api import Api
from meterline_deploy.commands.billing_dashboard import dashboard
from meterline_deploy.commands.billing_exceptions import exceptions
from meterline_deploy.commands.billing_export import export
from meterline_deploy.commands.billing_revenue import mrr, revenue
from meterline_deploy.commands.catalog import Form, FormOption
from meterline_deploy.commands.simulate import simulate
from meterline_deploy.one_line import one_line
from meterline_deploy.options import DataOption
from meterline_schemas.billing.run import Job, RunState

_PATH: Final = "/v1/billing/runs"
_BEING_DONE: Final = (RunState.RUNNING, RunState.LOST)  # what is lost is taken over
_LOOK: Final = 0.5  # seconds between two looks at a run
_AWAY: Final = 60.0  # seconds without an answer
_DRY_SECONDS: Final = 3600.0

Shown = dict[str, Any]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True)
    group.command("run")(run)
    group.command("runs")(runs)
    group.command("export")(export)
    group.command("simulate")(simulate)
    group.command("exceptions")(exceptions)
    group.command("dashboard")(dashboard)
    group.command("revenue")(revenue)
    group.command("mrr")(mrr)
    app.add_typer(group, name="billing", help="Billing's jobs: have one done, and what came of each run.")


def run(
    job: Annotated[Job, typer.Argument(metavar="JOB", help=f"One of {', '.join(Job)}.")],
    due: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="For this instant, or `now`; by default the last of its schedule."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Until the run has ended, whichever process ends it.")] = False,
    data: DataOption = Path(".meterline"),
    form: FormOption = Form.TABLE,
) -> None:
    """Have one of billing's jobs done, by the API. For one instant a job is done once, however often it is asked for.

    The API does them on schedule as well. Where cron is to say when, set METERLINE_BILLING_ENABLED=false for the API.

    Exit code: 0 done, or begun; 1 the run failed or has problems, or the API refuses or does not answer.

    **Examples**

        meterline billing run push --dry-run

        meterline billing run close --wait

        meterline billing run reconcile --due now --wait --format json
    """
    from datetime import UTC, datetime

    from meterline_deploy.commands.problems import usage_errors
    from meterline_deploy.reconcile.times import parse_instant
    from meterline_deploy.run import use

    with usage_errors():
        at = None if due is None else datetime.now(UTC) if due == "now" else parse_instant(due, "--due")
    use(data)
    api = Api.of_environment()
    body = {"job": job, "dry_run": dry_run} | ({} if at is None else {"due": at.isoformat()})
    found: Shown = api.ask("POST", _PATH, body=body, timeout=_DRY_SECONDS)
    if wait and not dry_run:
        found = _ended(api, found)
    if form is Form.JSON:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        _print_one(found)
    if found.get("state") in _BEING_DONE:
        typer.echo("`meterline billing runs` says how it goes; --wait waits", err=True)
    if found.get("state") == RunState.FAILED or found["problems"]:
        raise typer.Exit(1)


def runs(
    job: Annotated[Job | None, typer.Option(metavar="JOB", help=f"Only this one: {', '.join(Job)}.")] = None,
    state: Annotated[
        RunState | None, typer.Option(metavar="STATE", help=f"Only those that are {', '.join(RunState)}.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="So many, the last.")] = 20,
    data: DataOption = Path(".meterline"),
    form: FormOption = Form.TABLE,
) -> None:
    """List runs of billing's jobs, the last instant first. All times are UTC.

    **Examples**

        meterline billing runs

        meterline billing runs --job push --state failed

        meterline billing runs --limit 1000 --format json | jq -r '.[].problems[]'
    """
    from meterline_deploy.run import use

    use(data)
    query = [(name, str(value)) for name, value in (("job", job), ("state", state)) if value is not None]
    found, more = Api.of_environment().pages(_PATH, query, limit)
    if form is Form.JSON:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
    elif found:
        _print_all(found)
    else:
        typer.echo("no such runs" if query else "nothing was run yet")
    if more:
        typer.echo(f"there are older ones: --limit {limit * 10}", err=True)


def _ended(api: Api, found: Shown) -> Shown:
    """The run once it has ended. An API that does not answer for a while, as one that is started anew, is waited for.

    Raises what ``Api.ask`` raises.
    """
    import time
    from urllib.parse import quote

    from meterline_schemas.errors import UnavailableError

    path = f"{_PATH}/{found['job']}/{quote(found['due'], safe='')}"
    answered = time.monotonic()
    while found["state"] in _BEING_DONE:
        time.sleep(_LOOK)
        try:
            found = api.ask("GET", path)
            answered = time.monotonic()
        except UnavailableError:
            if time.monotonic() - answered > _AWAY:
                raise
    return found


def _print_one(found: Shown) -> None:
    if found.get("dry_run"):
        typer.echo(f"{found['job']} for {found['due']} would be done; nothing was changed")
    else:
        typer.echo(f"{found['job']} for {found['due']} is {found['state']}, by {one_line(found['owner'])}")
    for name, number in found["result"].items():
        typer.echo(f"  {one_line(name)}: {one_line(number)}")
    for problem in found["problems"]:
        typer.echo(one_line(problem), err=True)


def _print_all(found: list[Shown]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("due", no_wrap=True)
    table.add_column("job", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("what came of it", overflow="fold")
    for each in found:
        said = ", ".join(f"{name} {number}" for name, number in each["result"].items())
        told = "\n".join(one_line(text) for text in (said, *each["problems"]) if text)
        table.add_row(each["due"], each["job"], each["state"], told)
    Console(markup=False, highlight=False).print(table)
