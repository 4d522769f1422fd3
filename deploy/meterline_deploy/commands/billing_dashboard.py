"""``meterline billing dashboard``: a tenant's usage and costs of this month, as a page in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from meterline_deploy.commands.api import Api
from meterline_deploy.commands.whole_file import whole, written
from meterline_deploy.options import DataOption

_PATH: Final = "/api/billing/dashboard"


def dashboard(
    tenant: Annotated[
        str | None, typer.Option(metavar="ID", help="Whose; a key that stands for one tenant need not name it.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="File to write, or - for stdout.")] = Path("dashboard.html"),
    data: DataOption = Path(".meterline"),
) -> None:
    """Write what a tenant uses and pays this month as one page of HTML: projection, trends, the last 7 days.

    The file needs nothing besides itself. It has no links: these need the key.

    Exit code: 0 written; 1 the API refuses or does not answer, or the file cannot be written.

    **Examples**

        meterline billing dashboard --tenant acme

        meterline billing dashboard --tenant acme --out acme-november.html
    """
    from meterline_deploy.run import use

    use(data)
    query = [("links", "false"), *([("companyId", tenant)] if tenant is not None else [])]
    with Api.of_environment().opened(_PATH, query) as answer:
        page = answer.read()
    with whole(out) as file, written(out):
        file.write(page)
    typer.echo(f"{out}: {len(page)} bytes", err=True)
