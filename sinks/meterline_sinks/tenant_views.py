"""One tenant's views: the names and columns that analysts know, and in them that tenant's rows only.

They live in a database of the tenant's own. Its analysts may read that database and nothing else, so there is no other
name by which they reach a row: the views themselves read as their definer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from meterline_sinks.clickhouse import ClickHouse

# What a tenant's view shows of the view or table of its name. What is configured for all tenants is the tenant's too.
CONDITIONS: Final[Mapping[str, str]] = {
    "usage_hourly": "t.tenant_id = {tenant}",
    "usage_daily": "t.tenant_id = {tenant}",
    "usage_monthly": "t.tenant_id = {tenant}",
    "usage_events": "t.tenant_id = {tenant}",
    "rejected_events": "t.tenant_id = {tenant}",
    "notifications": "t.tenant_id = {tenant}",
    "metrics": "t.tenant_id IN ('', {tenant})",
    "quotas": "t.tenant_id IN ('', {tenant})",
    "thresholds": "t.tenant_id IN ('', {tenant})",
    "tenants": "t.id = {tenant}",
    "plans": "t.id IN (SELECT plan FROM {source}.tenant_plans WHERE tenant_id = {tenant})",
    "tenant_plans": "t.tenant_id = {tenant}",
    "invoices": "t.tenant_id = {tenant}",
    "invoice_lines": "t.tenant_id = {tenant}",
    "daily_costs": "t.tenant_id = {tenant}",
    "stripe_pushes": "t.tenant_id = {tenant}",
    "stripe_items": "t.tenant_id = {tenant}",
    "usage_days": "t.tenant_id = {tenant}",
    "usage_freshness": "true",
}
# a partition is shared: how much came on it is the business of all of its tenants together
_ONLY: Final[Mapping[str, frozenset[str]]] = {
    "usage_freshness": frozenset({"complete_until", "written_at"}),
}
_VIEWS: Final = frozenset(
    {"metrics", "plans", "tenant_plans", "invoices", "invoice_lines", "daily_costs", "stripe_pushes", "stripe_items"}
)
_OFFSETS: Final = "kafka_"
_HOUSEKEEPING: Final = frozenset({"is_deleted", "precedence", "inserted_at"})
# Nothing that a question asks is evaluated below a LIMIT, so no condition of the asker ever sees another's row: an
# error that it raises, or the time that it takes, would tell of it.
_BARRIER: Final = "LIMIT 18446744073709551615"


class Column(NamedTuple):
    name: str
    type: str
    comment: str


def shown(table: str, columns: Sequence[Column]) -> list[Column]:
    """The columns that a tenant sees: offsets count what all tenants sent."""
    only = _ONLY.get(table)
    return [
        column
        for column in columns
        if not column.name.startswith(_OFFSETS)
        and column.name not in _HOUSEKEEPING
        and (only is None or column.name in only)
    ]


def view(table: str, columns: Sequence[Column], comment: str, values: Mapping[str, str], tenant_id: str) -> str:
    """The statement that makes one view, or makes it anew. ``values``: source, target and on_cluster."""
    visible = shown(table, columns)
    listed = ",\n".join(f"    `{column.name}` {column.type} COMMENT {quote(column.comment)}" for column in visible)
    names = ", ".join(f"t.`{column.name}` AS `{column.name}`" for column in visible)
    condition = CONDITIONS[table].replace("{source}", values["source"]).replace("{tenant}", quote(tenant_id))
    final = "" if table in _VIEWS or table.startswith("usage_") else " FINAL"
    return (
        f"CREATE OR REPLACE VIEW {values['target']}.{table} {values['on_cluster']}\n(\n{listed}\n)\n"
        f"DEFINER = CURRENT_USER SQL SECURITY DEFINER\n"
        f"AS SELECT {names} FROM {values['source']}.{table} AS t{final} WHERE {condition} {_BARRIER}\n"
        f"COMMENT {quote(comment)}"
    )


def make_views(database: ClickHouse, source: str, target: str, on_cluster: str, tenant_id: str) -> None:
    """Make a tenant's views as this version has them; ``target`` exists.

    Raises:
        CommandError, UnavailableError: as ``ClickHouse.command`` does.
    """
    values = {"source": source, "target": target, "on_cluster": on_cluster}
    named = database.rows(f"SELECT name, comment FROM system.tables WHERE database = {quote(source)}")
    comments = {str(name): str(comment) for name, comment in named}
    columns: dict[str, list[Column]] = {}
    for table, *column in database.rows(
        "SELECT table, name, type, comment FROM system.columns "
        f"WHERE database = {quote(source)} ORDER BY table, position"
    ):
        columns.setdefault(str(table), []).append(Column(*(str(each) for each in column)))
    for table in CONDITIONS:
        comment = comments[table].replace(": read it with FINAL", "").replace(". Read it with FINAL", "")
        database.command(view(table, columns[table], comment, values, tenant_id))


def quote(value: str) -> str:
    """A string literal."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
