"""Entries of the catalog for people to read: their keys, what changed, tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

from pydantic import BaseModel

from meterline_schemas.catalog import Entry, Plan, Quota, TenantPlan

_STAMPS: Final = ("version", "changed_at")
_SECRET: Final = "secret"
_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "metric": ("name", "unit", "aggregation", "reset_period", "tenant_id", "allow_negative", "retired"),
    "tenant": ("name", "time_zone", "billing_anchor", "billing", "stripe_customer", "metered_since", "excluded"),
    "webhook": ("url", "events", "tenant_id", "enabled"),
    "quota": ("tenant_id", "subject", "metric", "included", "price_per_unit", "currency", "period", "time_zone"),
    "threshold": ("metric", "tenant_id", "subject", "amount", "steps", "action", "period", "notify_webhooks"),
    "plan": ("name", "currency", "period", "versions", "base_fee", "metrics"),
    "tenant_plan": ("spans",),
}


def short_key(entry: Entry) -> str:
    """The key that commands take: of a quota, its scope without empty parts at the end."""
    return entry.identity.rstrip("/") if isinstance(entry, Quota) else entry.identity


def full_key(kind: type[Entry], key: str) -> str:
    """The identity that a short key stands for."""
    return key + "/" * (2 - key.count("/")) if issubclass(kind, Quota) else key


def shown(entry: Entry) -> dict[str, Any]:
    """An entry as JSON, without a secret."""
    return entry.model_dump(mode="json", exclude={_SECRET})


def differences(before: Entry, after: Entry) -> Iterator[str]:
    """Each field that changed; a secret without its values."""
    for name in type(after).model_fields:
        old, new = getattr(before, name), getattr(after, name)
        if name in _STAMPS or old == new:
            continue
        yield (
            f"{name} changed"
            if name == _SECRET or _has_fields(old) or _has_fields(new)
            else f"{name} {_word(old)} → {_word(new)}"
        )


def print_tables(lists: Mapping[str, Sequence[Entry]]) -> None:
    """A table of each kind of which there is one."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    filled = {name: entries for name, entries in lists.items() if entries}
    for name, entries in filled.items():
        columns = _COLUMNS[entries[0].kind]
        table = Table("key", *columns, title=name if len(filled) > 1 else None, title_justify="left", box=None)
        table.pad_edge = False
        for entry in entries:
            table.add_row(short_key(entry), *(_cell(entry, column) for column in columns))
        console.print(table)


def _cell(entry: Entry, column: str) -> str:
    """Of a plan what its last version costs, and how many there are."""
    match entry, column:
        case Plan(), "versions":
            return str(len(entry.versions))
        case Plan(), "base_fee":
            return _word(entry.versions[-1].base_fee)
        case Plan(), "metrics":
            return ", ".join(charge.metric for charge in entry.versions[-1].charges)
        case TenantPlan(), "spans":
            return ", ".join(f"{span.plan or 'none'} from {span.start:%Y-%m-%dT%H:%M:%SZ}" for span in entry.spans)
        case _:
            return _word(getattr(entry, column), none="")


def _has_fields(value: object) -> bool:
    return isinstance(value, tuple) and any(isinstance(each, BaseModel) for each in value)


def _word(value: object, none: str = "none") -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case StrEnum():
            return value.value
        case tuple():
            return ", ".join(map(str, value)) or none
        case None | "":
            return none
        case _:
            return str(value)
