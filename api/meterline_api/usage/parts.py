"""Which windows a request for usage is answered in: one calendar for all or, by billing period, one for each. Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Final

from meterline_api.usage.query import Dimension, UsageQuery
from meterline_api.usage.windows import Cut, TooManyWindowsError, Window, Zone, before, cut
from meterline_schemas.catalog import Book, Tenant

_MOST_CALENDARS: Final = 32
_MOST_TENANTS: Final = 1000  # whose billing periods are not the usual ones


class PartsError(ValueError):
    """The windows that are asked for cannot be worked out; the text says what to ask instead."""


@dataclass(frozen=True)
class Part:
    """The windows of some tenants: of ``only`` these, or of all but ``but``. ``before`` are the previous ones."""

    cut: Cut
    before: Cut
    only: tuple[str, ...] | None = None
    but: tuple[str, ...] = ()

    def has(self, tenant_id: str | None) -> bool:
        return (self.only is None or tenant_id in self.only) and tenant_id not in self.but


def parts_of(query: UsageQuery, book: Book) -> tuple[Part, ...]:
    """One part at least; every tenant is in one at most.

    Raises:
        PartsError: there are too many windows, or none that all tenants share.
    """
    if query.window is not Window.BILLING:
        return (_part(query, Zone(query.zone or "UTC")),)
    usual = Zone(query.zone or "UTC", 1)
    grouped = Dimension.TENANT_ID in query.key
    if not grouped and (query.tenants is None or len(query.tenants) != 1):
        raise PartsError("billing periods differ between tenants; name one with tenant_id, or group by tenant_id")
    by_calendar: dict[Zone, list[str]] = defaultdict(list)
    if query.tenants is not None:
        for tenant_id in query.tenants:
            by_calendar[_calendar(query, book.tenant(tenant_id))].append(tenant_id)
    else:
        for tenant in book.all(Tenant):
            if (calendar := _calendar(query, tenant)) != usual:
                by_calendar[calendar].append(tenant.id)
    named = [tenant_id for tenants in by_calendar.values() for tenant_id in tenants]
    if len(by_calendar) > _MOST_CALENDARS or (query.tenants is None and len(named) > _MOST_TENANTS):
        raise PartsError(
            f"these tenants have more than {_MOST_CALENDARS} different billing calendars, or there are more than "
            f"{_MOST_TENANTS:,} with their own; name a tenant with tenant_id, or a timezone for all"
        )
    found = [_part(query, calendar, only=tuple(tenants)) for calendar, tenants in by_calendar.items()]
    if query.tenants is None or not found:
        found.append(_part(query, usual, but=tuple(named)))
    return tuple(found)


def _calendar(query: UsageQuery, tenant: Tenant) -> Zone:
    return Zone(query.zone or tenant.time_zone, tenant.billing_anchor)


def _part(query: UsageQuery, zone: Zone, only: tuple[str, ...] | None = None, but: tuple[str, ...] = ()) -> Part:
    """From the window of the last row that was given on."""
    try:
        whole = cut(query.window, zone, int(query.start.timestamp()), int(query.end.timestamp()))
    except TooManyWindowsError as error:
        raise PartsError(str(error)) from None
    if query.after is not None:
        whole = whole.after(int(query.after[0]))
    return Part(whole, whole if whole.start >= whole.end else before(query.window, zone, whole), only, but)
