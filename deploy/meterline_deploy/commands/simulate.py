"""``meterline billing simulate``: what tenants would pay under another plan."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from meterline_deploy.commands.catalog import Form, FormOption
from meterline_deploy.one_line import one_line
from meterline_deploy.options import DataOption

if TYPE_CHECKING:
    from meterline_deploy.commands.api import Api

_PATH: Final = "/v1/billing/simulate"
_PAGE: Final = 500  # tenants that one request prices
_SECONDS: Final = 600.0
_COUNTS: Final = ("pay_more", "pay_less", "pay_the_same", "not_comparable")
_SIDES: Final = ("current", "simulated")
_SUFFIXES: Final = (".yaml", ".yml")

Shown = dict[str, Any]


def simulate(
    plan: Annotated[
        str, typer.Option(metavar="FILE|ID", help="A catalog file with the plan alone, or with its metrics; or its id.")
    ],
    tenant: Annotated[str | None, typer.Option(metavar="ID", help="Only this tenant.")] = None,
    on_plan: Annotated[str | None, typer.Option(metavar="ID", help="Only tenants that are on this plan.")] = None,
    period: Annotated[
        str | None,
        typer.Option(metavar="MONTH|TIME", help="The period it lies in, such as 2026-10; by default the open one."),
    ] = None,
    data: DataOption = Path(".meterline"),
    form: FormOption = Form.TABLE,
) -> None:
    """Price the usage of a period under another plan, for everybody who is on a plan. Nothing is written.

    Exit code: 0 every tenant was compared; 1 some could not be, or the API refuses or does not answer.

    **Examples**

        meterline billing simulate --plan plan-2027.yaml --period 2026-10

        meterline billing simulate --plan team-2027 --tenant acme

        meterline billing simulate --plan plan-2027.yaml --on-plan team --format json | jq .pay_more
    """
    from meterline_deploy.commands.api import Api
    from meterline_deploy.commands.problems import usage_errors
    from meterline_deploy.run import use

    with usage_errors():
        body: Shown = {"plan": _plan(plan), "limit": _PAGE}
        if period is not None:
            body["at"] = _instant(period)
    body |= {name: value for name, value in (("tenant_id", tenant), ("on_plan", on_plan)) if value is not None}
    use(data)
    found = _all(Api.of_environment(), body)
    if form is Form.JSON:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        _print(found)
    if any(each["problem"] for each in found["data"]):
        raise typer.Exit(1)


def _plan(text: str) -> str | Shown:
    """The id of a plan, or the plan of a file.

    Raises:
        ConfigurationError: the file is wrong, or has another number of plans than one.
    """
    from meterline_deploy.catalog_file import load_catalog
    from meterline_schemas.catalog import Plan
    from meterline_schemas.errors import ConfigurationError

    if not text.endswith(_SUFFIXES):
        return text
    plans = [written.entry for written in load_catalog(Path(text)) if isinstance(written.entry, Plan)]
    if len(plans) != 1:
        raise ConfigurationError(f"{text} has {len(plans)} plans; leave the one that is meant")
    found: Shown = plans[0].model_dump(mode="json", exclude={"version", "changed_at"})
    return found


def _instant(text: str) -> str:
    """An instant of the period."""
    from meterline_deploy.reconcile.times import parse_instant

    return parse_instant(f"{text}-15" if len(text) == len("2026-10") else text, "--period").isoformat()


def _all(api: Api, body: Shown) -> Shown:
    """All pages as one answer."""
    data: list[Shown] = []
    counts: Counter[str] = Counter()
    totals: dict[str, dict[str, Decimal]] = defaultdict(lambda: dict.fromkeys(_SIDES, Decimal(0)))
    cursor: Shown = {}
    while True:
        page = api.ask("POST", _PATH, body={**body, **cursor}, timeout=_SECONDS)
        data += page["data"]
        counts.update({name: page[name] for name in _COUNTS})
        for each in page["totals"]:
            for side in _SIDES:
                totals[each["currency"]][side] += Decimal(each[side])
        if not page.get("next_cursor"):
            break
        cursor = {"cursor": page["next_cursor"]}
    return {
        "plan": page["plan"],
        "at": page["at"],
        "data": data,
        "totals": [
            {"currency": currency, **{side: str(found[side]) for side in _SIDES}}
            for currency, found in sorted(totals.items())
        ],
        **{name: counts[name] for name in _COUNTS},
    }


def _print(found: Shown) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("tenant", overflow="fold")
    for name in ("now", "then", "difference"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in found["data"]:
        now, then = (_money(each[side]) for side in _SIDES)
        table.add_row(one_line(each["tenant_id"]), now, then, each["difference"] or one_line(each["problem"]) or "–")
    for each in found["totals"]:
        table.add_row("all", *(f"{each[side]} {each['currency']}" for side in _SIDES), "")
    Console(markup=False, highlight=False).print(table)
    said = ", ".join(f"{found[name]} {name.replace('_', ' ')}" for name in _COUNTS if found[name])
    typer.echo(said or "nobody is on a plan in that period")


def _money(side: Shown | None) -> str:
    return "–" if side is None else f"{side['total']} {side['currency']}"
