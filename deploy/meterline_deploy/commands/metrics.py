"""``meterline metrics``: what is metered."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meterline_deploy.options import DataOption

if TYPE_CHECKING:
    from meterline_deploy.catalog import Change
    from meterline_schemas.catalog import Metric


class Form(StrEnum):
    TABLE = "table"
    JSON = "json"


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True)
    group.command("apply")(apply)
    group.command("list")(show)
    app.add_typer(group, name="metrics", help="Define what is metered, and list it.")


def apply(
    file: Annotated[Path, typer.Argument(help="YAML file with the metrics.", exists=True, dir_okay=False)],
    data: DataOption = Path(".meterline"),
) -> None:
    """Define metrics, or change them, from a YAML file. What the file does not name stays as it is.

    Every mistake in the file is reported at once, and then nothing is written.

    **Examples**

        meterline metrics apply metrics.yaml

        # metrics.yaml
        metrics:
          - key: api_calls
            name: API calls
            unit: call
            aggregation: sum      # count, sum, min, max or last
          - key: storage_gb
            unit: GB
            aggregation: max
    """
    from meterline_deploy import run
    from meterline_deploy.catalog import apply_metrics
    from meterline_deploy.metrics_file import load_metrics
    from meterline_schemas.settings import KafkaSettings, load

    metrics = load_metrics(file)
    run.use(data)
    changes = apply_metrics(load(KafkaSettings), metrics)
    for change in changes:
        typer.echo(describe(change))
    written = sum(change.written for change in changes)
    typer.echo(f"{len(changes)} in the file, {written} written")


def show(
    data: DataOption = Path(".meterline"),
    form: Annotated[Form, typer.Option("--format", help="How to print them.")] = Form.TABLE,
) -> None:
    """List the metrics that are defined.

    **Examples**

        meterline metrics list

        meterline metrics list --format json
    """
    from meterline_deploy import run
    from meterline_deploy.catalog import read_metrics
    from meterline_schemas.settings import KafkaSettings, load

    run.use(data)
    metrics = [metric for _key, metric in sorted(read_metrics(load(KafkaSettings)).items())]
    if form is Form.JSON:
        import json

        typer.echo(json.dumps([metric.model_dump(mode="json") for metric in metrics], indent=2))
    elif metrics:
        _print_table(metrics)
    else:
        typer.echo("no metrics are defined yet: `meterline metrics apply FILE.yaml` defines them")


def describe(change: Change) -> str:
    """What happened to a metric, on one line."""
    if not change.written:
        return f"{change.after.key}: as it was"
    if change.before is None:
        return f"{change.after.key}: new"
    fields = [
        f"{name} {_word(getattr(change.before, name))} → {_word(getattr(change.after, name))}"
        for name in type(change.after).model_fields
        if name not in ("version", "changed_at") and getattr(change.before, name) != getattr(change.after, name)
    ]
    return f"{change.after.key}: {', '.join(fields)}"


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) or "none"


def _print_table(metrics: list[Metric]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("key", "name", "unit", "aggregation", "negative", "retired", box=None, pad_edge=False)
    for metric in metrics:
        table.add_row(
            metric.key,
            metric.name,
            metric.unit,
            metric.aggregation,
            _word(metric.allow_negative),
            _word(metric.retired),
        )
    Console().print(table)
