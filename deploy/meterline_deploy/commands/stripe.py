"""``meterline stripe``: what Stripe needs to charge by the catalog."""

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

_PATH: Final = "/v1/billing/stripe/setup"
_SECONDS: Final = 3600.0  # a few calls to Stripe for each tenant
_OPTIONS: Final = ("event_name", "scale", "measure", "included")

Shown = dict[str, Any]


class Way(StrEnum):
    """How Stripe is to charge."""

    METER = "meter"
    INVOICE_ITEMS = "invoice_items"


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True)
    group.callback()(_group)
    group.command("setup")(setup)
    app.add_typer(group, name="stripe", help="Stripe: make there what charging by the catalog needs.")


def _group() -> None:
    """Stripe: make there what charging by the catalog needs."""


def setup(
    tenant: Annotated[list[str] | None, typer.Option(metavar="ID", help="Also this tenant; may be repeated.")] = None,
    plan: Annotated[
        list[str] | None, typer.Option(metavar="PLAN", help="Also the tenants that are on this plan; may be repeated.")
    ] = None,
    billing: Annotated[Way | None, typer.Option(help="Have these tenants charged by Stripe this way.")] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="With --billing meter: from this UTC day on; by default from tomorrow."),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METRIC:NAME=VALUE,…",
            help="How a metric's meter is to be: event_name, scale, measure, included; may be repeated.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be made, and make nothing.")] = False,
    data: DataOption = Path(".meterline"),
    form: FormOption = Form.TABLE,
) -> None:
    """Make what Stripe lacks: meters, products and prices of plans, customers and subscriptions of tenants.

    The API does it, with its METERLINE_STRIPE_KEY, for all tenants that Stripe charges and those that are named. What
    is there is found: repeat it at any time, also after it broke off.

    Exit code: 0 all is set up; 1 something could not be, or the API refuses or does not answer.

    **Examples**

        meterline stripe setup --dry-run

        meterline stripe setup --tenant acme --billing meter --since 2026-12-01

        meterline stripe setup --plan team --billing invoice_items

        meterline stripe setup --metric storage:scale=3,event_name=storage_gb
    """
    from meterline_deploy.run import use

    wishes = [_wish(each) for each in metric or ()]
    use(data)
    body: Shown = {"tenants": tenant or [], "plans": plan or [], "metrics": wishes, "dry_run": dry_run}
    body |= {name: value for name, value in (("billing", billing), ("metered_since", since)) if value is not None}
    found: Shown = Api.of_environment().ask("POST", _PATH, body=body, timeout=_SECONDS)
    if form is Form.JSON:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        _print(found)
    if found["problems"]:
        raise typer.Exit(1)


def _wish(text: str) -> Shown:
    metric, colon, options = text.partition(":")
    found: Shown = {"metric": metric}
    for option in options.split(",") if colon else ():
        name, equals, value = option.partition("=")
        if name not in _OPTIONS or not equals:
            raise typer.BadParameter(
                f"{option!r} is none of {', '.join(_OPTIONS)} with its value; write storage:scale=3",
                param_hint="--metric",
            )
        found[name] = int(value) if name == "scale" and value.isdecimal() else value
    return found


def _print(found: Shown) -> None:
    made = ", ".join(f"{number} {kind.replace('.', ' ').replace('_', ' ')}" for kind, number in found["made"].items())
    if found["dry_run"]:
        typer.echo(f"would make {made}; nothing was changed" if made else "nothing would be made")
    else:
        typer.echo(f"made {made}" if made else "all of it was there")
    for each in found["metrics"]:
        prices = ", ".join(f"{plan} {price}" for plan, price in each["prices"].items())
        typer.echo(one_line(f"metric {each['metric']}: meter {each['meter']} ({each['event_name']}), prices {prices}"))
    for each in found["tenants"]:
        said = f"tenant {each['tenant_id']}: customer {each['customer']}, billing {each['billing']}"
        said += f" since {each['metered_since']}" if each["metered_since"] else ""
        said += f", subscription {each['subscription']}" if each["subscription"] else ""
        typer.echo(one_line(said))
    for problem in found["problems"]:
        typer.echo(one_line(problem), err=True)
