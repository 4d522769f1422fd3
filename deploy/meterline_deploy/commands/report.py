"""``meterline report``: a tenant's usage, as the API answers it."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import IO, Annotated, Any, Final

import typer

from meterline_deploy.commands.api import Api
from meterline_deploy.commands.problems import usage_errors
from meterline_deploy.options import DataOption

UNCUT: Final = ("from", "to", "value")
COLUMNS: Final = ("from", "to", "metric", "value", "unit", "aggregation", "count")
_WITHOUT: Final = ', and the views can be asked without it: meterline sql "SELECT * FROM usage_monthly"'

Row = dict[str, Any]


class Window(StrEnum):
    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def register(app: typer.Typer) -> None:
    app.command("report")(report)


def report(
    tenant: Annotated[str, typer.Option("--tenant", help="Whose usage.")],
    from_: Annotated[str, typer.Option("--from", metavar="TIME", help="From this hour on.")],
    to: Annotated[str, typer.Option("--to", metavar="TIME", help="To before this hour.")],
    window: Annotated[Window | None, typer.Option(help="A row for each; without it one for the whole time.")] = None,
    metric: Annotated[str | None, typer.Option(help="Of this metric only.")] = None,
    subject: Annotated[str | None, typer.Option(help="Of this user or project below the tenant only.")] = None,
    format: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.TABLE,
    data: DataOption = Path(".meterline"),
) -> None:
    """Print what a tenant used, late events included, as each metric is aggregated. All times are UTC.

    --from and --to are days (00:00 UTC) or instants in RFC 3339; --to itself is not included. Decimals are exact.

    Exit code: 0 done; 1 the API refused, or does not answer; 2 wrong options.

    **Examples**

        meterline report --tenant acme --from 2026-11-01 --to 2026-12-01

        meterline report --tenant acme --from 2026-11-01 --to 2026-12-01 --window day --metric api_calls

        meterline report --tenant acme --from 2026-11-21T00:00:00Z --to 2026-11-21T06:00:00Z --window hour --format csv
    """
    from meterline_deploy.reconcile.times import Period
    from meterline_deploy.run import use

    with usage_errors():
        period = Period.parse(from_, to)
        if not tenant:
            raise typer.BadParameter("--tenant is empty")
    use(data)
    assert period.start is not None  # noqa: S101 - both are required
    assert period.end is not None  # noqa: S101
    query = [("tenant_id", tenant), ("from", _text(period.start)), ("to", _text(period.end))]
    query += [("window", window.value)] if window else []
    query += [("metric", metric)] if metric else []
    query += [("subject", subject)] if subject is not None else []
    rows = list(fetch(Api.of_environment(_WITHOUT), query))
    match format:
        case Format.JSON:
            typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        case Format.CSV:
            write_csv(rows, sys.stdout)
        case Format.TABLE:
            _print_table(tenant, str(period), rows)


def fetch(api: Api, query: list[tuple[str, str]]) -> Iterator[Row]:
    """The rows of ``GET /v1/usage``, page after page. Raises as ``Api.ask``."""
    cursor = ""
    while True:
        answer = api.ask("GET", "/v1/usage", [*query, ("cursor", cursor)] if cursor else query)
        yield from answer["data"]
        cursor = answer.get("next_cursor") or ""
        if not cursor:
            return


def write_csv(rows: list[Row], out: IO[str]) -> None:
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([row.get(name, "") for name in COLUMNS] for row in rows)


def grouped(value: str) -> str:
    """A plain decimal with its thousands told apart; not a digit of it changes."""
    sign, digits = ("-", value[1:]) if value.startswith("-") else ("", value)
    whole, point, fraction = digits.partition(".")
    return f"{sign}{int(whole):,}{point}{fraction}"


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _print_table(tenant: str, period: str, rows: list[Row]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    if not rows:
        console.print(f"no usage of {escape(tenant)} in {period}", highlight=False, soft_wrap=True)
        return
    table = Table(title=f"{escape(tenant)}, {period}", title_justify="left")
    for name in COLUMNS:
        table.add_column(name, justify="right" if name in ("value", "count") else "left", no_wrap=name in UNCUT)
    for row in rows:
        times = {name: str(row.get(name) or "").removesuffix("T00:00:00Z") for name in ("from", "to")}
        shown = {**row, **times, "value": grouped(row["value"]), "count": f"{row['count']:,}"}
        table.add_row(*(escape(str(shown.get(name) or "")) for name in COLUMNS))
    console.print(table)
