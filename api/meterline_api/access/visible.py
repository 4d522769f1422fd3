"""Which entries of the catalog somebody may read or change. Pure."""

from __future__ import annotations

from meterline_api.access.principal import Principal, tenants_from
from meterline_schemas.catalog import ApiKey, Entry, Metric, Quota, Tenant


def whose(entry: Entry) -> str:
    """The tenant that an entry is about; empty: all."""
    return entry.id if isinstance(entry, Tenant) else str(getattr(entry, "tenant_id", ""))


def may_read(principal: Principal, entry: Entry) -> bool:
    """What a tenant is metered by, and what it has included, it may know, where that is the same for all too.

    Thresholds for all it may not: they name the addresses that are told.
    """
    if isinstance(entry, ApiKey):
        return may_change(principal, entry)
    tenant_id = whose(entry)
    return principal.sees(tenant_id) or (not tenant_id and isinstance(entry, (Metric, Quota)))


def may_change(principal: Principal, entry: Entry) -> bool:
    """What is for all tenants only those change who reach all; nobody makes a key that reaches further than they do."""
    if isinstance(entry, ApiKey):
        reached = tenants_from(entry.tenants)
        return principal.tenants is None or (reached is not None and reached <= principal.tenants)
    return principal.sees(whose(entry))
