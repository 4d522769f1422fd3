"""``meterline metrics``: what is metered."""

from __future__ import annotations

from pathlib import Path

import typer

from meterline_deploy.commands import catalog
from meterline_deploy.commands.catalog import DefaultsOption, DryRunOption, FileArgument, Form, FormOption
from meterline_deploy.options import DataOption


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True)
    group.command("apply")(apply)
    group.command("list")(show)
    app.add_typer(group, name="metrics", help="Define what is metered, and list it.")


def apply(
    file: FileArgument = None,
    defaults: DefaultsOption = None,
    dry_run: DryRunOption = False,
    data: DataOption = Path(".meterline"),
) -> None:
    """Define metrics, or change them, from a YAML file. What the file does not name stays as it is.

    Every mistake in the file is reported at once, and then nothing is written. The file may hold all that
    `meterline catalog apply` takes: quotas, thresholds, tenants and webhooks too.

    **Examples**

        meterline metrics apply metrics.yaml

        # metrics.yaml
        metrics:
          - key: api_calls
            name: API calls
            unit: call
            aggregation: sum      # count, sum, avg, min, max, last, time_weighted,
          - key: storage_gb       # unique_count, p50, p75, p90, p95 or p99
            unit: GB
            aggregation: max
    """
    catalog.apply(file, defaults, dry_run, data)


def show(data: DataOption = Path(".meterline"), form: FormOption = Form.TABLE) -> None:
    """List the metrics that are defined.

    **Examples**

        meterline metrics list

        meterline metrics list --format json
    """
    from meterline_deploy import run
    from meterline_deploy.catalog import read_catalog
    from meterline_deploy.catalog_text import print_tables, shown
    from meterline_schemas.catalog import Metric
    from meterline_schemas.settings import KafkaSettings, load

    run.use(data)
    metrics = list(read_catalog(load(KafkaSettings)).all(Metric))
    if form is Form.JSON:
        import json

        typer.echo(json.dumps([shown(metric) for metric in metrics], indent=2))
    elif metrics:
        print_tables({"metrics": metrics})
    else:
        typer.echo("no metrics are defined yet: `meterline metrics apply FILE.yaml` defines them")
