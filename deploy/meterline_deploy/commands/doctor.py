"""``meterline doctor``: what is wrong, and what to do about it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from meterline_deploy.options import DataOption

if TYPE_CHECKING:
    from meterline_deploy.doctor import Finding


def register(app: typer.Typer) -> None:
    app.command("doctor")(start)


def start(data: DataOption = Path(".meterline")) -> None:
    """Check what is reachable, the topics and their settings, lag and progress, tables, clocks, and Stripe.

    Of Stripe: the key, meters and prices, the customers and subscriptions of tenants that are billed there, and whether
    its webhooks come back. It takes a call for each hundred customers and subscriptions.

    Each thing that is wrong comes with what to do about it; then the exit code is 1.

    **Examples**

        meterline doctor

        METERLINE_STRIPE_KEY=sk_live_… METERLINE_STRIPE_WEBHOOK_SECRETS=whsec_… meterline doctor

        METERLINE_KAFKA=broker-1:9092 METERLINE_CLICKHOUSE_URL=http://clickhouse:8123 meterline doctor
    """
    import os
    from itertools import chain

    from meterline_api.billing.stripe.settings import StripeSettings
    from meterline_deploy import run
    from meterline_deploy.doctor import examine
    from meterline_deploy.errors import NotRunningError
    from meterline_deploy.stripe_doctor import catalog_of, examine_stripe
    from meterline_schemas.settings import ClickHouseSettings, KafkaSettings, load

    run.use(data)
    try:
        health = dict(run.find(data).health)
    except NotRunningError:
        health = {}  # servers that are named by variables
    api_url = os.environ.get("METERLINE_API_URL", "http://127.0.0.1:3000")
    wrong = 0
    kafka = load(KafkaSettings)
    found = examine(kafka, load(ClickHouseSettings), api_url, health)
    for finding in chain(found, examine_stripe(load(StripeSettings), lambda: catalog_of(kafka), api_url)):
        typer.echo(line(finding))
        wrong += finding.level == "wrong"
    if wrong:
        typer.echo(f"{wrong} wrong")
        raise typer.Exit(1)
    typer.echo("all is well")


def line(finding: Finding) -> str:
    """A finding on one line, what to do about it on a second."""
    text = f"{finding.level:<5}  {finding.subject}: {finding.found}"
    return f"{text}\n       → {finding.fix}" if finding.fix else text
