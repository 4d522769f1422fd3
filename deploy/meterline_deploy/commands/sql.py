"""``meterline sql``: one statement to ClickHouse, its answer to standard output."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Final

import typer

from meterline_deploy.options import DataOption

if TYPE_CHECKING:
    import http.client

    from meterline_schemas.settings import ClickHouseSettings

_FORBIDDEN: Final = ("164", "497")  # READONLY, ACCESS_DENIED
_UNKNOWN_USER: Final = ("192", "193", "194", "516")
_PIECE: Final = 64 * 1024
_HOURS: Final = 24 * 3600


def register(app: typer.Typer) -> None:
    app.command("sql")(sql)


def sql(
    statement: Annotated[str, typer.Argument(metavar="SQL|-", help="One statement, or - for standard input.")],
    format: Annotated[
        str, typer.Option("--format", help="Any FORMAT of ClickHouse. PrettyCompact in a terminal, else TSV.")
    ] = "",
    admin: Annotated[
        bool, typer.Option("--admin", help="As the owner instead of the analyst, who only reads.")
    ] = False,
    data: DataOption = Path(".meterline"),
) -> None:
    """Ask ClickHouse. Analysts' tables are usage_events, usage_hourly, usage_daily, usage_monthly, usage_freshness and
    rejected_events; a FORMAT in the statement itself wins over --format.

    Exit code: 0 done; 1 ClickHouse answered with an error or not at all; 2 wrong options.

    **Examples**

        meterline sql "SELECT metric, sum(sum) FROM usage_daily WHERE tenant_id = 'acme' GROUP BY metric"

        meterline sql --format CSVWithNames "SELECT * FROM usage_monthly" > usage.csv

        echo "SELECT * FROM usage_freshness" | meterline sql -

        meterline sql --admin "SHOW CREATE TABLE usage_totals"
    """
    from meterline_deploy.run import use
    from meterline_schemas.settings import ClickHouseSettings, load

    text = sys.stdin.read() if statement == "-" else statement
    if not text.strip():
        raise typer.BadParameter('write a statement, like meterline sql "SELECT 1"')
    if format and not re.fullmatch(r"[A-Za-z0-9_]+", format):
        raise typer.BadParameter(f"--format {format!r} is no name of a format; write one like CSVWithNames")
    use(data)
    chosen = format or ("PrettyCompact" if sys.stdout.isatty() else "TabSeparated")
    run(load(ClickHouseSettings), text, chosen, admin=admin, out=sys.stdout.buffer)


def run(settings: ClickHouseSettings, text: str, format: str, *, admin: bool, out: IO[bytes]) -> None:
    """Write ClickHouse's answer to ``out`` as it comes.

    Raises:
        UnavailableError: it answers with an error, or not at all.
    """
    import http.client

    from meterline_deploy.commands.web import parse_url, request
    from meterline_schemas.errors import UnavailableError

    url = parse_url(settings.url, "METERLINE_CLICKHOUSE_URL")
    user = settings.user if admin else settings.analyst_user
    secret = settings.password if admin else settings.analyst_password
    query = [("database", settings.database), ("default_format", format)]
    headers = {"X-ClickHouse-User": user, "Content-Type": "text/plain; charset=UTF-8"}
    if secret.get_secret_value():
        headers["X-ClickHouse-Key"] = secret.get_secret_value()
    away = f"ClickHouse at {settings.url} does not answer; is it running, and is METERLINE_CLICKHOUSE_URL right?"
    try:
        with request("POST", url, "/", query, headers, text.encode(), timeout=_HOURS) as answer:
            if answer.status != 200:
                raise UnavailableError(problem(answer, user, admin=admin))
            last = b""
            while piece := answer.read1(_PIECE):
                out.write(piece)
                last = (last + piece)[-4096:]
            out.flush()
            broken = _broken_off(last)
            if broken:
                raise UnavailableError(f"ClickHouse broke off: {broken}")
    except BrokenPipeError:
        raise
    except http.client.IncompleteRead:
        raise UnavailableError("ClickHouse broke off in the middle of its answer; ask it again") from None
    except (OSError, http.client.HTTPException) as error:
        raise UnavailableError(f"{away} ({error})") from None


def problem(answer: http.client.HTTPResponse, user: str, *, admin: bool) -> str:
    """An error of ClickHouse as one message."""
    said = plain(answer.read(_PIECE).decode(errors="replace"))
    code = answer.getheader("X-ClickHouse-Exception-Code", "")
    if code in _UNKNOWN_USER:
        variables = "_USER and _PASSWORD" if admin else "_ANALYST_USER and _ANALYST_PASSWORD"
        return f"ClickHouse does not let {user} in; are METERLINE_CLICKHOUSE{variables} right? It says: {said}"
    if code in _FORBIDDEN and not admin:
        return f"{said}; {user} only reads the analysts' tables: --admin asks as the owner"
    return said or f"ClickHouse answers with HTTP {answer.status} and says nothing"


def plain(text: str) -> str:
    """An exception of ClickHouse without code, class and version: one line that says what is wrong."""
    line = " ".join(text.split())
    line = re.sub(r"^Code: \d+\. ", "", line)
    line = re.sub(r"DB::(?:Parsing)?Exception: ", "", line)
    return re.sub(r"\s*\(version [^()]*(?:\([^()]*\))?[^()]*\)\s*$", "", line)


def _broken_off(end: bytes) -> str:
    """The exception at the end of an answer that had begun well, or nothing."""
    if b"DB::Exception" not in end or b"Code: " not in end:
        return ""
    tail = end[end.rindex(b"Code: ") :].decode(errors="replace")
    return plain(tail) if re.match(r"Code: \d+\. DB::", tail) and "(version" in tail else ""
