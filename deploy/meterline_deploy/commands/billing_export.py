"""``meterline billing export``: a file for finance, whole under its name or not there."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from meterline_deploy.commands.api import Api
from meterline_deploy.commands.whole_file import whole, written
from meterline_deploy.options import DataOption

_PIECE: Final = 256 * 1024
_BETWEEN: Final = 600.0  # seconds until the next piece
_AS_OF: Final = "Meterline-As-Of"


class ExportFormat(StrEnum):
    CSV = "csv"
    NDJSON = "ndjson"
    PARQUET = "parquet"
    JSON = "json"


def export(
    kind: Annotated[
        str, typer.Argument(metavar="KIND", help="invoices, invoice-lines, journal, usage and others: see the API.")
    ],
    start: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Periods that start then or later.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="TIME", help="Periods that start before.")] = None,
    format: Annotated[ExportFormat, typer.Option("--format", help="How it is written.")] = ExportFormat.CSV,
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write, or - for stdout; by default KIND.FORMAT here.")
    ] = None,
    as_of: Annotated[
        str | None, typer.Option(metavar="TIME", help="As it was then, or what an earlier pull said it was as of.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="AS-OF", help="Only what changed after an earlier pull: what that one said.")
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant.")] = None,
    currency: Annotated[str | None, typer.Option(help="Only documents of this currency, such as EUR.")] = None,
    status: Annotated[str | None, typer.Option(help="Only documents that are closed, or void.")] = None,
    data: DataOption = Path(".meterline"),
) -> None:
    """Download a file for finance from the API. Its name is there once all of it is; Ctrl-C leaves nothing behind.

    At the end stderr says what it is as of: give that as --as-of for the same bytes again, as --since for what
    changed after it.

    Exit code: 0 written; 1 the API refuses, does not answer or broke off, or the file cannot be written.

    **Examples**

        meterline billing export journal --from 2026-11-01 --to 2026-12-01

        meterline billing export invoices --format parquet --out november.parquet

        meterline billing export invoice-lines --since "$LAST" --format ndjson --out - | jq -c .
    """
    from http.client import IncompleteRead
    from urllib.parse import quote

    from meterline_deploy.commands.problems import usage_errors
    from meterline_deploy.commands.progress import Progress
    from meterline_deploy.reconcile.times import Period
    from meterline_deploy.run import use

    with usage_errors():
        period = Period.parse(start, end)
    use(data)
    query = [("format", format.value)]
    for name, value in (("from", period.start), ("to", period.end)):
        if value is not None:
            query.append((name, value.isoformat()))
    named = (("as_of", as_of), ("since", since), ("tenant_id", tenant), ("currency", currency), ("status", status))
    query += [(name, value) for name, value in named if value is not None]
    final = out or Path(f"{kind.replace('/', '-')}.{format}")
    path = f"/v1/exports/{quote(kind, safe='')}"
    with Api.of_environment().opened(path, query, timeout=_BETWEEN) as answer, whole(final) as file:
        size, expected = 0, int(answer.headers.get("Content-Length") or 0)
        with Progress(bytes=True) as progress:
            progress.start(f"{kind} as {format}", expected)
            while piece := answer.read(_PIECE):
                with written(final):
                    file.write(piece)
                size += len(piece)
                progress.advance(len(piece))
        if size < expected:
            raise IncompleteRead(b"", expected - size)
        said = answer.headers.get(_AS_OF)
    typer.echo(f"{final}: {size} bytes" + (f", as of {said}" if said else ""), err=True)
