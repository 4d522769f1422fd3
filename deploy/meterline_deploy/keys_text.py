"""API keys for people to read, in 80 columns."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any


def print_keys(keys: Sequence[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("id", "role", "tenants", "state", "name"):
        table.add_column(column, overflow="fold", no_wrap=column == "id")
    for key in keys:
        table.add_row(key["id"], key["role"], ", ".join(key["tenants"]), state_of(key, datetime.now(UTC)), key["name"])
    Console(markup=False, highlight=False).print(table)


def state_of(key: dict[str, Any], now: datetime) -> str:
    """Whether a key, as the API answers it, may be used at ``now``."""
    if key["revoked_at"] is not None:
        return f"revoked {key['revoked_at'][:10]}"
    if key["expires_at"] is None:
        return "valid"
    expired = datetime.fromisoformat(key["expires_at"]) <= now
    return f"{'expired' if expired else 'valid until'} {key['expires_at'][:10]}"
