"""``meterline billing revenue`` and ``billing mrr``: what was invoiced month by month, and what recurs each month."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from meterline_deploy.commands.api import Api
from meterline_deploy.commands.catalog import Form, FormOption
from meterline_deploy.one_line import one_line
from meterline_deploy.options import DataOption

_REVENUE: Final = "/v1/billing/revenue"
_MRR: Final = "/v1/billing/mrr"
_AMOUNTS: Final = ("base_fee", "usage", "adjustment", "manual", "credit", "total")

Shown = dict[str, Any]


class By(StrEnum):
    TENANT = "tenant"
    METRIC = "metric"


_GROUPS: Final = {By.TENANT: "tenant_id", By.METRIC: "metric"}


def revenue(
    start: Annotated[
        str | None, typer.Option("--from", metavar="MONTH", help="First month; by default twelve months before --to.")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="MONTH", help="Month behind the last; by default this month.")
    ] = None,
    by: Annotated[
        list[By] | None, typer.Option(metavar="WHAT", help=f"A row for each: {', '.join(By)}; may be repeated.")
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant.")] = None,
    metric: Annotated[str | None, typer.Option(help="Only lines of this metric.")] = None,
    data: DataOption = Path(".meterline"),
    form: FormOption = Form.TABLE,
) -> None:
    """Tell what was invoiced in each month, by currency, and by how much it grew. Credit notes are in it.

    Exit code: 0; 1 where the API refuses or does not answer.

    **Examples**

        meterline billing revenue

        meterline billing revenue --from 2026-01 --to 2027-01 --by tenant

        meterline billing revenue --by metric --format json | jq -r '.[] | [.period, .metric, .usage] | @tsv'
    """
    from meterline_deploy.run import use

    use(data)
    groups = [_GROUPS[each] for each in dict.fromkeys(by or ())]
    query = [("group_by", group) for group in groups]
    named = (("from", start), ("to", end), ("tenant_id", tenant), ("metric", metric))
    query += [(name, value) for name, value in named if value is not None]
    found, _more = Api.of_environment().pages(_REVENUE, query)
    if form is Form.JSON:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
    elif found:
        _print_revenue(found, groups)
    else:
        typer.echo("nothing was invoiced for these months")


def mrr(
    at: Annotated[str | None, typer.Option(metavar="TIME", help="At this instant, also ahead; by default now.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant.")] = None,
    data: DataOption = Path(".meterline"),
    form: FormOption = Form.TABLE,
) -> None:
    """Tell the base fees of the plans that billed tenants are on, by the month: by plan and currency.

    Exit code: 0; 1 where a tenant's plan is not known, or the API refuses or does not answer.

    **Examples**

        meterline billing mrr

        meterline billing mrr --at 2027-01-01 --format json | jq -r '.data[].mrr'
    """
    from meterline_deploy.commands.problems import usage_errors
    from meterline_deploy.reconcile.times import parse_instant
    from meterline_deploy.run import use

    with usage_errors():
        moment = None if at is None else parse_instant(at, "--at").isoformat()
    use(data)
    query = [(name, value) for name, value in (("at", moment), ("tenant_id", tenant)) if value is not None]
    found: Shown = Api.of_environment().ask("GET", _MRR, query)
    if form is Form.JSON:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
    elif found["data"]:
        _print_mrr(found["data"])
    else:
        typer.echo("nobody who is billed is on a plan then")
    for problem in found["problems"]:
        typer.echo(one_line(problem), err=True)
    if found["problems"]:
        raise typer.Exit(1)


def _print_revenue(found: list[Shown], groups: list[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for group in groups:
        table.add_column(group, overflow="fold")
    for name in ("month", "currency"):
        table.add_column(name, no_wrap=True)
    for name in (*_AMOUNTS, "growth"):
        table.add_column(name.replace("_", " "), justify="right", no_wrap=True)
    for each in found:
        growth = "–" if each["growth"] is None else f"{each['growth']}%"
        named = (one_line(each[group] or "–") for group in groups)
        table.add_row(*named, each["period"], each["currency"], *(each[name] for name in _AMOUNTS), growth)
    Console(markup=False, highlight=False).print(table)


def _print_mrr(found: list[Shown]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("plan", overflow="fold")
    for name in ("currency", "tenants", "each month", "mrr"):
        table.add_column(name, justify="left" if name == "currency" else "right", no_wrap=True)
    for each in found:
        for plan in each["plans"]:
            table.add_row(
                one_line(plan["plan"]), each["currency"], str(plan["tenants"]), plan["monthly_fee"], plan["mrr"]
            )
        paid = str(each["tenants"] + each["without_fee"])
        table.add_row("all", each["currency"], paid, f"∅ {each['average'] or '–'}", each["mrr"])
    Console(markup=False, highlight=False).print(table)
