"""Notifications for people to read, in 80 columns: the list, and one with its attempts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from meterline_deploy.one_line import one_line

Shown = dict[str, Any]  # as the API answers it

_FIELDS: Final = ("type", "timestamp", "tenant_id", "metric", "subject", "threshold_id")


def print_list(notifications: Sequence[Shown]) -> None:
    """Two lines for each: ids are long, and must be whole to be copied."""
    from rich.console import Console

    table = _table("id, time", "type, metric", "tenant, subject")
    for each in notifications:
        about = " ".join(filter(None, (each["metric"], _percent(each))))
        table.add_row(
            f"{each['id']}\n{each['timestamp']}",
            f"{each['type']}\n{one_line(about)}",
            f"{one_line(each['tenant_id'])}\n{one_line(each['subject'])}",
        )
    Console(markup=False, highlight=False).print(table)


def print_one(notification: Shown) -> None:
    """What was told, then each target with its attempts."""
    from rich.console import Console

    console = Console(markup=False, highlight=False)
    fields = {name: notification[name] for name in _FIELDS if notification[name]}
    if notification["usage"] is not None:
        fields["usage"] = f"{notification['usage']} of {notification['limit']} {_percent(notification)}"
        if notification["period_start"]:  # the other form of an alert has none
            fields["period"] = f"{notification['period_start']} to {notification['period_end'] or 'ever'}"
    else:
        fields["data"] = json.dumps(notification["data"], ensure_ascii=False)
    console.print(one_line(notification["id"]))
    for name, value in fields.items():
        console.print(f"  {name:<12}  {one_line(value)}", soft_wrap=True)
    for delivery in notification["deliveries"]:
        again = f", once more at {delivery['next_at']}" if delivery["next_at"] else ""
        console.print(f"\n{one_line(delivery['target'])}: {delivery['status']}{again}")
        table = _table("#", "at", "seconds", "status", "answer")
        for attempt in delivery["attempts"]:
            said = ": ".join(filter(None, (attempt["error"], attempt["answer"])))
            status = "" if attempt["status_code"] is None else str(attempt["status_code"])
            table.add_row(str(attempt["number"]), attempt["at"], f"{attempt['seconds']:.3f}", status, one_line(said))
        if delivery["attempts"]:
            console.print(table)
    if notification.get("note"):
        console.print(f"\n{one_line(notification['note'])}")


def _table(*names: str) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for position, name in enumerate(names):
        last = position == len(names) - 1
        table.add_column(name, no_wrap=not last and position == 0, overflow="fold")
    return table


def _percent(notification: Shown) -> str:
    return "" if notification["percent"] is None else f"({notification['percent']} %)"
