"""``meterline emit``: events of a file or a pipe, through the SDK."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meterline_deploy.commands.problems import usage_errors
from meterline_deploy.options import DataOption

if TYPE_CHECKING:
    from meterline_deploy.commands.progress import Progress
    from meterline_deploy.emit.rejects import Rejecting
    from meterline_deploy.emit.sending import Outcome
    from meterline_deploy.emit.source import Asked, Source


class Form(StrEnum):
    NDJSON = "ndjson"
    CSV = "csv"
    TSV = "tsv"
    PARQUET = "parquet"


class Epoch(StrEnum):
    S = "s"
    MS = "ms"
    US = "us"
    NS = "ns"


TABLE = "CSV and Parquet"


def register(app: typer.Typer) -> None:
    app.command("emit")(emit)


def emit(
    file: Annotated[
        str, typer.Argument(metavar="FILE|-", help="NDJSON, CSV or Parquet by its name, or - for standard input.")
    ],
    columns: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="FIELD=COLUMN", help="The column of a field.", rich_help_panel=TABLE),
    ] = None,
    values: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="The same for every row.", rich_help_panel=TABLE),
    ] = None,
    properties: Annotated[
        list[str] | None,
        typer.Option("--property", metavar="[NAME=]COLUMN", help="A column as property.", rich_help_panel=TABLE),
    ] = None,
    timezone: Annotated[
        str | None,
        typer.Option(metavar="ZONE", help="Of times that do not say it, like Europe/Vienna.", rich_help_panel=TABLE),
    ] = None,
    epoch: Annotated[
        Epoch | None, typer.Option(help="Times are numbers of this since 1970.", rich_help_panel=TABLE)
    ] = None,
    decimals: Annotated[
        int | None,
        typer.Option(
            "--round", min=0, max=9, metavar="N", help="Round quantities to N decimals.", rich_help_panel=TABLE
        ),
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option(help="Between cells of a CSV: one character, or tab.", rich_help_panel=TABLE)
    ] = None,
    batch: Annotated[
        str, typer.Option(metavar="NAME", help="Tells files apart whose rows are equal.", rich_help_panel=TABLE)
    ] = "",
    rejects: Annotated[
        Path | None,
        typer.Option(metavar="FILE", dir_okay=False, help="Write invalid rows there, as CSV.", rich_help_panel=TABLE),
    ] = None,
    form: Annotated[Form | None, typer.Option("--format", help="What the file is, whatever its name.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read all, show the first events, send nothing.")] = False,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Stop at the first invalid line; of a table, send nothing if a row is invalid."),
    ] = False,
    timeout: Annotated[float, typer.Option(min=1, help="Give up when Kafka is silent for so many seconds.")] = 30.0,
    data: DataOption = Path(".meterline"),
) -> None:
    """Send events of a file, and wait until Kafka has acknowledged them.

    The file is NDJSON, one usage event per line (tenant_id, metric, quantity, timestamp and id; optionally subject,
    source and properties), or a table, CSV or Parquet, whose columns are mapped to these fields; .gz and .zst are
    unpacked. The same file emitted twice counts once: an event that has no id gets one from the file. A timestamp is
    never made up. Invalid lines and rows are told by number and skipped.

    Exit code: 0 all were acknowledged; 1 some were invalid or not acknowledged; 2 wrong options.

    **Examples**

        meterline emit usage.ndjson

        zcat usage.ndjson.gz | meterline emit -

        meterline emit usage.csv --map tenant_id=customer --map quantity=units --map timestamp=when --set metric=orders

        meterline emit usage.csv.gz --delimiter ";" --timezone Europe/Vienna --property region --dry-run

        meterline emit usage.parquet --map id=order_number --round 3 --rejects wrong.csv
    """
    from meterline_deploy.emit.options import asked_for

    with usage_errors():
        asked = asked_for(
            file,
            form,
            columns=columns or (),
            values=values or (),
            properties=properties or (),
            timezone=timezone,
            epoch=epoch.value if epoch else None,
            decimals=decimals,
            delimiter=delimiter,
            batch=batch,
            rejects=rejects,
        )
    if dry_run:
        ended = _look(asked, rejects).clean
    elif strict and asked.form != "ndjson":
        ended = _checked(asked, rejects) and _send(asked, rejects, False, timeout, data).complete
    else:
        ended = _send(asked, rejects, strict, timeout, data).complete
    if not ended:
        raise typer.Exit(1)


def _checked(asked: Asked, rejects: Path | None) -> bool:
    """Whether every row is an event; tells the others."""
    if asked.file == "-":
        raise typer.BadParameter("--strict reads a table twice, so it needs a file, not a pipe")
    with _opened(asked, rejects) as (source, rejecting):
        from meterline_deploy.emit.looking import look

        outcome, _first = look(source, rejecting, lambda: None)
        if not outcome.clean:
            _tell_problems(outcome, source.noun)
            typer.echo(f"{outcome.read:,} {source.noun}: {outcome.invalid:,} invalid, nothing sent (--strict)")
    return outcome.clean


def _look(asked: Asked, rejects: Path | None) -> Outcome:
    from meterline_deploy.commands.progress import Progress
    from meterline_deploy.emit.looking import look

    with _opened(asked, rejects) as (source, rejecting), Progress(bytes=asked.form != "parquet") as steps:
        steps.start("reading", source.total)
        outcome, first = look(source, rejecting, _advancing(source, steps))
    for line in first:
        typer.echo(line)
    _tell_problems(outcome, source.noun)
    typer.echo(f"{outcome.read:,} {source.noun}: {outcome.sent:,} would be sent, {outcome.invalid:,} invalid")
    return outcome


def _send(asked: Asked, rejects: Path | None, strict: bool, timeout: float, data: Path) -> Outcome:
    import logging

    from meterline import Limits, UsageProducer
    from meterline_deploy.commands.progress import Progress
    from meterline_deploy.emit.sending import WINDOW, WINDOW_BYTES, Outcome, Sending
    from meterline_deploy.emit.table import UnreadableFileError
    from meterline_deploy.run import use

    logging.getLogger("meterline").addHandler(logging.NullHandler())  # problems are told below
    outcome = Outcome()
    with _opened(asked, rejects) as (source, rejecting):
        use(data)
        limits = Limits(max_events=2 * WINDOW, max_bytes=4 * WINDOW_BYTES, exit_seconds=0)
        producer = UsageProducer(limits=limits, on_error=outcome.trouble)
        sending = Sending(producer, timeout, outcome, source.noun[:-1], rejecting)
        try:
            with Progress(bytes=asked.form != "parquet") as steps:
                steps.start("sending", source.total)
                try:
                    sending.send(source.lines, strict, _advancing(source, steps))
                except UnreadableFileError as error:
                    outcome.stopped = str(error)
                steps.start("waiting for Kafka", 0)
                sending.finish()
        finally:
            producer.close(0)
            outcome.acknowledged = producer.stats().acknowledged
            _tell(outcome, source.noun)
    return outcome


@contextmanager
def _opened(asked: Asked, rejects: Path | None) -> Iterator[tuple[Source, Rejecting]]:
    from meterline_deploy.emit.rejects import rejects_to
    from meterline_deploy.emit.source import open_source

    with ExitStack() as stack:
        with usage_errors():
            source = stack.enter_context(open_source(asked))
            rejecting = stack.enter_context(rejects_to(rejects, source.columns))
        yield source, rejecting


def _advancing(source: Source, steps: Progress) -> Callable[[], None]:
    """What to call after each line, to show how far the file is read."""
    shown = 0

    def advance() -> None:
        nonlocal shown
        position = source.position()
        if position != shown:
            steps.advance(position - shown)
            shown = position

    return advance


def _tell(outcome: Outcome, noun: str) -> None:
    lost = outcome.sent - outcome.acknowledged
    if lost:
        typer.echo(
            f"{lost:,} events were not acknowledged; emit the same again: what Kafka has already counts once", err=True
        )
    _tell_problems(outcome, noun)
    typer.echo(
        f"{outcome.read:,} {noun}: {outcome.sent:,} sent, {outcome.acknowledged:,} acknowledged, "
        f"{outcome.invalid:,} invalid"
    )


def _tell_problems(outcome: Outcome, noun: str) -> None:
    for example in outcome.examples:
        typer.echo(example, err=True)
    if outcome.invalid > len(outcome.examples):
        typer.echo(f"… and {outcome.invalid - len(outcome.examples):,} invalid {noun} more", err=True)
    if outcome.stopped:
        typer.echo(outcome.stopped, err=True)
