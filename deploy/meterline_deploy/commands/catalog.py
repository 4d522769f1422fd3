"""``meterline catalog``: metrics, quotas, thresholds, tenants, webhooks and plans, from files."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meterline_deploy.defaults import Default, read_default
from meterline_deploy.options import DataOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meterline_deploy.catalog import Change, EntriesRefusedError
    from meterline_deploy.catalog_file import Written
    from meterline_schemas.settings import KafkaSettings


class Form(StrEnum):
    TABLE = "table"
    JSON = "json"


class Kind(StrEnum):
    """Kinds of entries, as commands name them."""

    METRIC = "metric"
    TENANT = "tenant"
    WEBHOOK = "webhook"
    QUOTA = "quota"
    THRESHOLD = "threshold"
    PLAN = "plan"
    TENANT_PLAN = "tenant_plan"


FileArgument = Annotated[
    Path | None, typer.Argument(metavar="FILE", help="YAML file with entries.", exists=True, dir_okay=False)
]
DefaultsOption = Annotated[
    Default | None, typer.Option("--defaults", help="Instead of a file: one that comes with Meterline.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")]
FormOption = Annotated[Form, typer.Option("--format", help="How to print them.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True)
    group.command("apply")(apply)
    group.command("list")(show)
    group.command("delete")(delete)
    app.add_typer(group, name="catalog", help="Metrics, quotas, thresholds, tenants, webhooks and plans: from files.")


def apply(
    file: FileArgument = None,
    defaults: DefaultsOption = None,
    dry_run: DryRunOption = False,
    data: DataOption = Path(".meterline"),
) -> None:
    """Define entries, or change them, from a YAML file. What the file does not name stays as it is.

    Every mistake in the file is reported at once, with its line, and then nothing of it is written.

    **Examples**

        meterline catalog apply catalog.yaml

        meterline catalog apply --dry-run catalog.yaml

        meterline catalog apply --defaults features

        # catalog.yaml: one or more of these lists
        metrics:
          - key: api_calls
            unit: call
            aggregation: sum
        quotas:
          - metric: api_calls         # of all tenants that have none of their own
            included: 10000
            price_per_unit: 0.001
            currency: USD
          - metric: api_calls
            tenant_id: acme
            included: 50000
        thresholds:
          - id: api-calls
            metric: api_calls         # of the quota; `amount: 5000` is absolute
            steps: [80, 100]
            action: alert             # alert, block or none
        tenants:
          - id: acme
            time_zone: Europe/Vienna
            billing_anchor: 15
        webhooks:
          - id: ops
            url: https://example.com/hooks/meterline
            secret: ${OPS_WEBHOOK_SECRET}
        plans:
          - id: team
            currency: USD
            versions:
              - base_fee: 199
                charges:
                  - metric: api_calls
                    price: {model: per_unit, unit_price: 0.01, per: 1000}
        tenant_plans:
          - tenant_id: acme
            spans:
              - {start: 2026-11-01T00:00:00Z, plan: team}
    """
    from meterline_deploy import run
    from meterline_deploy.catalog import EntriesRefusedError, apply_entries
    from meterline_deploy.catalog_file import load_catalog, parse
    from meterline_deploy.errors import CatalogFileError
    from meterline_schemas.settings import KafkaSettings, load

    if file is not None and defaults is None:
        written, name = load_catalog(file), str(file)
    elif file is None and defaults is not None:
        written, name = parse(read_default(defaults))[0], f"--defaults {defaults}"
    else:
        raise typer.BadParameter("name a FILE or --defaults, one of them")
    run.use(data)
    try:
        changes = apply_entries(load(KafkaSettings), [each.entry for each in written], dry_run=dry_run)
    except EntriesRefusedError as error:
        raise CatalogFileError(name, _problems(written, error)) from None
    for change in changes:
        typer.echo(describe(change))
    count = sum(change.written for change in changes)
    typer.echo(f"{len(changes)} in the file, {count} {'to write (--dry-run)' if dry_run else 'written'}")


def show(
    kind: Annotated[Kind | None, typer.Option("--kind", help="Only this kind.")] = None,
    data: DataOption = Path(".meterline"),
    form: FormOption = Form.TABLE,
) -> None:
    """List what is defined. The secrets of webhooks are not shown.

    **Examples**

        meterline catalog list

        meterline catalog list --kind quota

        meterline catalog list --format json | jq '.thresholds[].id'
    """
    from meterline_deploy import run
    from meterline_deploy.catalog import read_catalog
    from meterline_deploy.catalog_file import LISTS
    from meterline_deploy.catalog_text import print_tables, shown
    from meterline_schemas.settings import KafkaSettings, load

    run.use(data)
    book = read_catalog(load(KafkaSettings))
    lists = {name: list(book.all(each)) for name, each in LISTS.items() if kind is None or each.kind == kind}
    if form is Form.JSON:
        import json

        found = {name: [shown(entry) for entry in entries] for name, entries in lists.items()}
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
    elif any(lists.values()):
        print_tables(lists)
    else:
        what = "nothing is" if kind is None else f"no {kind} is"
        typer.echo(f"{what} defined yet: `meterline catalog apply FILE.yaml` defines it")


def delete(
    kind: Annotated[Kind, typer.Argument(metavar="KIND", help=f"One of {', '.join(Kind)}.")],
    key: Annotated[str, typer.Argument(metavar="KEY", help="As `catalog list` shows it.")],
    data: DataOption = Path(".meterline"),
) -> None:
    """Delete an entry.

    A metric that has usage is refused, and one that a quota, threshold or plan is on; so is a webhook that a threshold
    names, and a plan that a tenant is, was or will be on. The key of a quota is METRIC of the one for all tenants, else
    METRIC/TENANT or METRIC/TENANT/SUBJECT.

    **Examples**

        meterline catalog delete threshold api-calls

        meterline catalog delete quota api_calls

        meterline catalog delete quota api_calls/acme

        meterline catalog delete metric api_calls
    """
    from meterline_deploy import run
    from meterline_deploy.catalog import delete_entry
    from meterline_deploy.catalog_text import full_key, short_key
    from meterline_schemas.catalog.book import KINDS
    from meterline_schemas.settings import KafkaSettings, load

    run.use(data)
    kafka = load(KafkaSettings)
    identity = full_key(KINDS[kind], key)
    used = kind is Kind.METRIC and _has_usage(kafka, identity)
    deleted = delete_entry(kafka, KINDS[kind], identity, has_usage=used)
    typer.echo(f"{kind} {short_key(deleted)}: deleted")


def describe(change: Change) -> str:
    """What happened to an entry, on one line."""
    from meterline_deploy.catalog_text import differences, short_key

    named = f"{change.after.kind} {short_key(change.after)}"
    if not change.written:
        return f"{named}: as it was"
    if change.before is None:
        return f"{named}: new"
    return f"{named}: {', '.join(differences(change.before, change.after))}"


def _problems(written: Sequence[Written], error: EntriesRefusedError) -> list[str]:
    """Refusals with the lines of what they speak of."""
    found = [written[position].problem(each) for position, refused in error.refusals for each in refused.problems]
    return [str(problem) for problem in sorted(found, key=lambda problem: problem.line)]


def _has_usage(kafka: KafkaSettings, metric: str) -> bool:
    """Whether any event of a metric is counted, those included that are on their way to ClickHouse."""
    from meterline_deploy.lag import events_passed_on
    from meterline_deploy.reconcile.warehouse import Warehouse, text
    from meterline_schemas.errors import UnavailableError
    from meterline_schemas.settings import ClickHouseSettings, load

    warehouse = Warehouse(load(ClickHouseSettings))
    asked = f"SELECT 1 FROM usage_events_raw WHERE metric = {text(metric)} LIMIT 1"
    try:
        if warehouse.rows(asked):
            return True
        if not events_passed_on(kafka, 5.0):
            raise UnavailableError(
                f"whether metric {metric!r} has usage cannot be told, so nothing was changed: ClickHouse does not have "
                "all events yet; run `meterline up`, or try again in a moment"
            )
        return bool(warehouse.rows(asked))
    finally:
        warehouse.close()
