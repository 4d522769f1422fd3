"""A report for people: tables, the differences with their amounts, and the verdict as the last line."""

from __future__ import annotations

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from meterline_deploy.reconcile.report import Check, Difference, Report

_COLUMNS = (
    *("partition", "judged to", "lines", "accepted", "late", "rejected", "forwarded"),
    *("checked from", "waiting"),  # line by line, and records that are not judged yet
)


def print_report(report: Report, console: Console) -> None:
    if report.partitions:
        console.print(_partitions(report))
    console.print(_checks(report))
    for check in report.checks:
        for difference in check.differences:
            console.print(_difference(check, difference), highlight=False, soft_wrap=True)
        left = check.count - len(check.differences)
        if left > 0:
            more = "or more " if check.at_least else ""
            console.print(f"  {check.name}: {left:,} {more}not listed (--limit)", highlight=False, soft_wrap=True)
    for check in report.checks:
        for note in check.notes:
            console.print(f"  note: {check.name}: {escape(note)}", highlight=False, soft_wrap=True)
    console.print(
        escape(report.closing()), style="bold" if report.exact else "bold red", highlight=False, soft_wrap=True
    )


def _partitions(report: Report) -> Table:
    table = Table(title="Judged, per partition of usage.events", title_justify="left", box=SIMPLE, pad_edge=False)
    for name in _COLUMNS:
        table.add_column(name, justify="right")
    for line in report.partitions:
        numbers = (
            line.partition,
            line.watermark,
            line.lines,
            line.accepted,
            line.late,
            line.rejected,
            line.forwarded,
            line.lines_from,
            line.unjudged,
        )
        table.add_row(*(f"{number:,}" for number in numbers))
    return table


def _checks(report: Report) -> Table:
    table = Table(title="Checks", title_justify="left", box=SIMPLE, pad_edge=False)
    table.add_column("check")
    table.add_column("what must be equal", overflow="fold")
    table.add_column("compared", justify="right")
    table.add_column("result")
    for check in report.checks:
        result = f"[green]{check.result()}[/]" if check.exact else f"[bold red]{check.result()}[/]"
        table.add_row(check.name, escape(check.title), f"{check.compared:,} {check.unit}", result)
    return table


def _difference(check: Check, difference: Difference) -> str:
    key = " ".join(f"{name}={value}" for name, value in difference.key.items())
    amounts = difference.amounts()
    both = difference.expected is not None and difference.found is not None
    said = f": {'expected → found: ' if both else ''}{amounts}" if amounts else ""
    detail = f" ({difference.detail})" if difference.detail else ""
    return f"  [red]{check.name}: {difference.kind}[/]: {escape(key + said + detail)}"
