"""The life of an event for people to read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from meterline_deploy.one_line import one_line

Shown = dict[str, Any]  # as the API answers it


def print_lives(lives: Sequence[Shown]) -> None:
    from rich.console import Console

    console = Console(markup=False, highlight=False)
    for number, life in enumerate(lives):
        for line in (*([""] if number else []), *lines_of(life)):
            console.print(line, soft_wrap=True)


def lines_of(life: Shown) -> Iterator[str]:
    """One event: what it is, what it is part of, and its copies."""
    whose = f"of {one_line(life['tenant_id'])}" if life["tenant_id"] else "whose tenant cannot be read"
    why = f" ({life['reason']}: {one_line(life['detail'])})" if life["reason"] else ""
    yield f"{one_line(life['id'])} {whose}: {life['verdict']}{why}"
    for event in life["events"]:
        yield f"  {one_line(event['metric'])} {event['quantity']} at {event['timestamp']}"
        named = {name: event[name] for name in ("subject", "source") if event[name]} | event["properties"]
        if named:
            yield "  " + ", ".join(f"{one_line(name)}={one_line(value)}" for name, value in named.items())
        for total in event["totals"]:
            number = f"{total['value']} {one_line(total['unit'])}".rstrip()
            yield f"  {total['window']:<6} from {total['from']}: {number} ({total['aggregation']} of {total['count']})"
        for alert in event["alerts"]:
            about = f"{alert['type']} {alert['step']} % of {one_line(alert['threshold_id'])}"
            yield f"  it may be part of {about}: {alert['id']}"
    for copy in life["appearances"]:
        reason = f" ({copy['reason']})" if copy["reason"] else ""
        yield f"  {_place(copy)} received {copy['received_at']}: {copy['verdict']}{reason}"
        if copy["forwarded_from"]:
            yield f"    forwarded from {_place(copy['forwarded_from'])}"
    for note in life["notes"]:
        yield f"  note: {one_line(note)}"


def _place(at: Shown) -> str:
    return f"{at['topic']}[{at['partition']}] offset {at['offset']} line {at['line']}"
