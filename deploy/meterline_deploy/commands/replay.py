"""``meterline replay``: rejected events judged again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meterline_deploy.commands.problems import usage_errors
from meterline_deploy.options import DataOption

if TYPE_CHECKING:
    from meterline_deploy.replay.run import Outcome


def register(app: typer.Typer) -> None:
    app.command("replay")(replay)


def replay(
    reason: Annotated[
        list[str] | None,
        typer.Option(
            help="Only those rejected for it; repeatable. [default: unknown_metric, unknown_tenant, too_old, in_future]"
        ),
    ] = None,
    metric: Annotated[list[str] | None, typer.Option(help="Only of this metric; repeatable.")] = None,
    tenant: Annotated[list[str] | None, typer.Option(help="Only of this tenant; repeatable.")] = None,
    from_: Annotated[str | None, typer.Option("--from", metavar="TIME", help="Received from this time on.")] = None,
    to: Annotated[str | None, typer.Option("--to", metavar="TIME", help="Received before this time.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent, and send nothing.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Send at most so many lines.")] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Give up when Kafka is silent for so many seconds.")] = 30.0,
    data: DataOption = Path(".meterline"),
) -> None:
    """Send rejected events again, to be judged again: after their metric or tenant was defined or the time window
    widened.

    Each goes out as it came, with its id and timestamp: however often it is replayed, it counts once. Those that are
    counted already are left out. `--from` and `--to` are each a day (00:00 UTC) or an instant in RFC 3339.

    Exit code: 0 all were acknowledged; 1 some were not; 2 wrong options.

    **Examples**

        meterline replay --dry-run

        meterline replay --metric api_calls

        meterline replay --reason too_old --tenant acme --from 2026-11-01 --to 2026-12-01
    """
    import asyncio

    from meterline_deploy.commands.progress import Progress
    from meterline_deploy.reconcile.times import Period
    from meterline_deploy.replay.asked import Asked, read_reasons
    from meterline_deploy.replay.run import replay as run
    from meterline_deploy.run import use
    from meterline_schemas.settings import ClickHouseSettings, JudgeSettings, KafkaSettings, load

    with usage_errors():
        asked = Asked(
            reasons=read_reasons(reason or ()),
            metrics=tuple(metric or ()),
            tenants=tuple(tenant or ()),
            period=Period.parse(from_, to),
            limit=limit,
        )
    use(data)
    kafka, clickhouse, judge = load(KafkaSettings), load(ClickHouseSettings), load(JudgeSettings)
    with Progress() as steps:
        outcome = asyncio.run(run(kafka, clickhouse, judge, asked, steps, dry_run=dry_run, timeout=timeout))
    _tell(outcome, dry_run)
    if outcome.trouble:
        raise typer.Exit(1)


def _tell(outcome: Outcome, dry_run: bool) -> None:
    for place, why in outcome.lost:
        typer.echo(f"{place}: {why}", err=True)
    if outcome.undefined:
        named = ", ".join(sorted(outcome.undefined))
        typer.echo(f"not defined: {named}; define it with `meterline catalog apply`, then replay again", err=True)
    if outcome.undefined_tenants:
        named = ", ".join(sorted(outcome.undefined_tenants))
        typer.echo(
            f"tenants not defined: {named}; define them with `meterline catalog apply`, then replay again", err=True
        )
    if outcome.trouble:
        lost = outcome.chosen - outcome.replayed
        told = f"{lost:,} lines were not acknowledged ({outcome.trouble}); replay again: what Kafka has counts once"
        typer.echo(told, err=True)
    sent = f"{outcome.chosen:,} to replay (--dry-run)" if dry_run else f"{outcome.replayed:,} replayed"
    beyond = f", {outcome.beyond:,} left for later" if outcome.beyond else ""
    typer.echo(f"{outcome.found:,} lines found: {sent}, {outcome.skipped.total():,} skipped{beyond}")
    for why, count in outcome.skipped.most_common():
        typer.echo(f"  {count:,} skipped: {why}")
