"""What the audit log says of a change of the catalog: before and after, without secrets or what names people. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from meterline_schemas.audit.entry import Author, Draft
from meterline_schemas.catalog.api_key import ApiKey
from meterline_schemas.catalog.entry import Entry
from meterline_schemas.catalog.metric import Metric
from meterline_schemas.catalog.plan import Plan, TenantPlan
from meterline_schemas.catalog.quota import Quota
from meterline_schemas.catalog.stripe_meter import StripeMeter
from meterline_schemas.catalog.tenant import Tenant
from meterline_schemas.catalog.threshold import Threshold
from meterline_schemas.catalog.webhook import Webhook

HIDDEN: Final = "***"
CHANGED: Final = "*** (changed)"

SECRET: Final[Mapping[str, frozenset[str]]] = {
    Metric.kind: frozenset(),
    Quota.kind: frozenset(),
    Threshold.kind: frozenset({"notify_emails"}),
    Tenant.kind: frozenset({"name"}),
    Webhook.kind: frozenset({"secret", "url", "description"}),  # addresses of some services are secrets themselves
    ApiKey.kind: frozenset({"hash", "name"}),
    Plan.kind: frozenset(),
    TenantPlan.kind: frozenset(),
    StripeMeter.kind: frozenset(),
}
"""By kind the fields that the log never has. Of a kind that is not listed it has none at all."""


def change(author: Author, before: Entry | None, after: Entry | None) -> Draft:
    """What is written of a change; ``after`` is None for what was deleted."""
    entry = after or before
    assert entry is not None  # noqa: S101 - something changed
    return Draft(
        author=author,
        action=f"{entry.kind}.{_verb(before, after)}",
        resource_type=entry.kind,
        resource_id=entry.identity,
        tenant_id=_tenant(entry),
        before=None if before is None else _shown(before, None),
        after=None if after is None else _shown(after, before),
    )


def _verb(before: Entry | None, after: Entry | None) -> str:
    if after is None:
        return "deleted"
    if before is None:
        return "created"
    if isinstance(after, ApiKey) and isinstance(before, ApiKey) and after.revoked_at and not before.revoked_at:
        return "revoked"
    return "updated"


def _tenant(entry: Entry) -> str:
    match entry:
        case Tenant():
            return entry.id
        case ApiKey(tenants=[tenant]) if tenant != "*":
            return tenant
        case _:
            return str(getattr(entry, "tenant_id", ""))


def _shown(entry: Entry, before: Entry | None) -> dict[str, Any]:
    fields = entry.model_dump(mode="json")
    secret = SECRET.get(entry.kind, frozenset(fields) - {"version", "changed_at"})
    for name in secret & fields.keys():
        if fields[name]:
            differs = before is not None and getattr(before, name) != getattr(entry, name)
            fields[name] = CHANGED if differs else HIDDEN
    return fields
