"""``meterline analyst``: who may read one tenant's usage in SQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meterline_deploy.options import DataOption

if TYPE_CHECKING:
    from meterline_sinks.tenant_analysts import TenantAnalysts


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True)
    group.command("add")(add)
    group.command("list")(show)
    group.command("remove")(remove)
    app.add_typer(group, name="analyst", help="Let a tenant's own people read its usage in SQL, and nobody else's.")


def add(
    tenant: Annotated[str, typer.Argument(metavar="TENANT", help="Id of the tenant.")],
    name: Annotated[
        str, typer.Option("--name", help="Name of the user in ClickHouse; made from the tenant's id if not given.")
    ] = "",
    data: DataOption = Path(".meterline"),
) -> None:
    """Make a user of ClickHouse who reads the rows of one tenant only. The password is printed once and kept nowhere.

    **Examples**

        meterline analyst add acme

        meterline analyst add acme --name acme-finance
    """
    with _analysts(data) as (analysts, url):
        analyst, password = analysts.add(tenant, name)
    typer.echo(f"user: {analyst.name}")
    typer.echo(f"password: {password}")
    typer.echo(f"database: {analyst.database}")
    typer.echo(f"url: {url}")


def show(data: DataOption = Path(".meterline")) -> None:
    """List the analysts of single tenants: user, tenant and database.

    **Examples**

        meterline analyst list
    """
    with _analysts(data) as (analysts, _url):
        found = analysts.all()
    for analyst in found:
        typer.echo(f"{analyst.name}\t{analyst.tenant_id}\t{analyst.database}")
    if not found:
        typer.echo("no tenant has an analyst yet: `meterline analyst add TENANT` makes one")


def remove(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The user, as `meterline analyst list` shows it.")],
    data: DataOption = Path(".meterline"),
) -> None:
    """Shut a tenant's analyst out, from the next statement on.

    **Examples**

        meterline analyst remove analyst_acme
    """
    with _analysts(data) as (analysts, _url):
        analyst = analysts.remove(name)
    typer.echo(f"removed {analyst.name}, who read the usage of {analyst.tenant_id}")


@contextmanager
def _analysts(data: Path) -> Iterator[tuple[TenantAnalysts, str]]:
    from meterline_deploy.run import use
    from meterline_schemas.errors import UnavailableError
    from meterline_schemas.settings import ClickHouseSettings, load
    from meterline_sinks.clickhouse import ClickHouse, CommandError
    from meterline_sinks.migrate import keeps_users
    from meterline_sinks.settings import ClusterSettings
    from meterline_sinks.tenant_analysts import TenantAnalysts

    use(data)
    settings, cluster = load(ClickHouseSettings), load(ClusterSettings).cluster
    database = ClickHouse(settings)
    try:
        yield TenantAnalysts(database, settings, cluster, keeps_users=keeps_users(database)), settings.url
    except CommandError as error:
        raise UnavailableError(f"ClickHouse at {settings.url} refuses: {error}") from None
    finally:
        database.close()
