"""``meterline keys``: who may call the API."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from meterline_deploy.commands.api import Api
from meterline_deploy.commands.catalog import Form, FormOption
from meterline_deploy.options import DataOption
from meterline_schemas.roles import Role


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True)
    group.command("create")(create)
    group.command("list")(show_all)
    group.command("revoke")(revoke)
    app.add_typer(group, name="keys", help="API keys: who may call, as what, and for which tenants.")


def create(
    role: Annotated[
        Role,
        typer.Option(metavar="ROLE", help="producer, viewer, finance or admin: what it may do.", case_sensitive=False),
    ],
    tenant: Annotated[
        list[str], typer.Option(metavar="TENANT", help="Whose data it reaches; again for more; '*' for all.")
    ],
    name: Annotated[str, typer.Option(help="What it is for, for people.")] = "",
    expires: Annotated[
        str | None, typer.Option(metavar="TIME", help="From then on it is refused, as 2027-01-01T00:00:00Z.")
    ] = None,
    requests_per_second: Annotated[int | None, typer.Option(metavar="N", min=1, help="A limit of its own.")] = None,
    data: DataOption = Path(".meterline"),
) -> None:
    """Make an API key. It is printed once; of the key itself only a hash is kept.

    Roles: **producer** writes events and asks what is left, **viewer** reads usage, **finance** has all reports and
    exports too, **admin** may do everything.

    **Examples**

        meterline keys create --role producer --tenant '*' --name "orders service"

        meterline keys create --role viewer --tenant acme --expires 2027-01-01T00:00:00Z
    """
    from meterline_deploy.run import use

    use(data)
    wish: dict[str, Any] = {"role": role.value, "tenants": tenant, "name": name}
    if expires is not None:
        wish["expires_at"] = expires
    if requests_per_second is not None:
        wish["requests_per_second"] = requests_per_second
    made = Api.of_environment().ask("POST", "/v1/keys", body=wish)
    typer.echo(made["key"])
    typer.echo(f"it is not shown again; `meterline keys revoke {made['id']}` ends it", err=True)


def show_all(data: DataOption = Path(".meterline"), form: FormOption = Form.TABLE) -> None:
    """List API keys, those that were revoked or have expired too.

    **Examples**

        meterline keys list

        meterline keys list --format json | jq -r '.[] | select(.role == "admin") | .id'
    """
    from meterline_deploy.keys_text import print_keys
    from meterline_deploy.run import use

    use(data)
    found, _more = Api.of_environment().pages("/v1/keys")
    if form is Form.JSON:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
    elif found:
        print_keys(found)
    else:
        typer.echo("no keys yet: METERLINE_API_KEY is the only one; `meterline keys create` makes others")


def revoke(
    id: Annotated[str, typer.Argument(metavar="ID", help="As `keys list` shows it: what stands between mk_ and _.")],
    data: DataOption = Path(".meterline"),
) -> None:
    """Refuse a key from now on, in every process within a second.

    **Examples**

        meterline keys revoke k7w2m9xq4hzt
    """
    from meterline_deploy.run import use

    use(data)
    Api.of_environment().ask("DELETE", f"/v1/keys/{quote(id, safe='')}")
    typer.echo(f"{id} is revoked")
