"""The audit log for people to read, in 80 columns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from meterline_deploy.one_line import one_line

Shown = dict[str, Any]  # as the API answers it

_UNTOLD = ("version", "changed_at")


def print_list(entries: Sequence[Shown]) -> None:
    """Two lines for each, and one with what changed."""
    from rich.console import Console

    console = Console(markup=False, highlight=False)
    for each in entries:
        about = " ".join(filter(None, (each["resource_type"], each["resource_id"])))
        whose = f" of {each['tenant_id']}" if each["tenant_id"] else ""
        source = f" from {each['origin']}" if each["origin"] else ""
        console.print(one_line(f"{each['seq']:>6}  {each['at']}  {each['action']}"), soft_wrap=True)
        console.print(one_line(f"        {about}{whose}, by {each['actor']}{source}"), soft_wrap=True)
        said = changes(each)
        if said:
            console.print(one_line(f"        {said}"), soft_wrap=True)


def changes(entry: Shown) -> str:
    """What is otherwise than before, or the details."""
    before, after = entry["before"], entry["after"]
    if before is not None and after is not None:
        names = [name for name in after if name not in _UNTOLD and before.get(name) != after[name]]
        return ", ".join(f"{name} {_value(before.get(name))} → {_value(after[name])}" for name in names)
    return "" if entry["details"] is None else _value(entry["details"])


def _value(value: Any) -> str:
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
