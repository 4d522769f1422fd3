"""The catalog in memory: what every process reads of ``meterline.config``, and what applies to whom. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from datetime import datetime
from typing import Final, TypeVar

import msgspec

from meterline_schemas.catalog.api_key import ApiKey
from meterline_schemas.catalog.entry import Entry, Key
from meterline_schemas.catalog.metric import Aggregation, Metric
from meterline_schemas.catalog.partitions import PARTITION_COUNT_KEY, PartitionCount
from meterline_schemas.catalog.plan import Plan, TenantPlan
from meterline_schemas.catalog.quota import Quota
from meterline_schemas.catalog.stripe_meter import StripeMeter
from meterline_schemas.catalog.tenant import Tenant
from meterline_schemas.catalog.threshold import Threshold
from meterline_schemas.catalog.webhook import Webhook
from meterline_schemas.periods import Calendar, Period

KINDS: Final[Mapping[str, type[Entry]]] = {
    kind.kind: kind for kind in (Metric, Quota, Threshold, Tenant, Webhook, ApiKey, Plan, TenantPlan, StripeMeter)
}

Kind = TypeVar("Kind", bound=Entry)
Scope = tuple[str, str, str]  # tenant_id (empty: all), metric, subject (empty: the tenant itself)

_NO_TENANT: Final = Tenant(id="-")
_ON_NO_PLAN: Final = TenantPlan(tenant_id="-")


class Book:
    """Every entry, by its kind and key. Of a deleted metric ``metrics`` alone still knows: what it counted, it counts.

    Not safe to change while another thread reads: change a ``copy`` and put it in the place of the old one.
    """

    def __init__(self) -> None:
        self.partitions: int | None = None
        self._entries: dict[str, dict[str, Entry]] = {kind: {} for kind in KINDS}
        self._deleted: set[str] = set()  # metrics
        self._quotas: dict[Scope, Quota] = {}
        self._thresholds: dict[Scope, tuple[Threshold, ...]] = {}
        self._customers: dict[str, str] = {}  # ids of tenants, by those of their customers at Stripe

    def copy(self) -> Book:
        book = Book()
        book.partitions = self.partitions
        book._entries = {kind: dict(entries) for kind, entries in self._entries.items()}
        book._deleted = set(self._deleted)
        book._quotas = dict(self._quotas)
        book._thresholds = dict(self._thresholds)
        book._customers = dict(self._customers)
        return book

    def apply(self, key: bytes | None, value: bytes | None) -> str | None:
        """Take over one record of the topic; where it cannot be read nothing changes, and why is returned."""
        if key is None:
            return None
        try:
            return self._apply(key, value)
        except (ValueError, RecursionError, msgspec.DecodeError) as error:
            return f"{key!r} cannot be read: {error}"

    def _apply(self, key: bytes, value: bytes | None) -> str | None:
        if key == PARTITION_COUNT_KEY:
            if value is not None:
                self.partitions = msgspec.json.decode(value, type=PartitionCount).partitions
            return None
        kind, _, identity = key.decode(errors="replace").partition("/")
        if kind not in KINDS:
            return f"{kind!r} is no kind of entry that this version knows"
        if value is None:
            self._remove(kind, identity)
        else:
            self._put(KINDS[kind].decode(value))
        return None

    def find(self, kind: type[Kind], identity: str) -> Kind | None:
        """The entry, or None where there is none, or none any more."""
        found = self._entries[kind.kind].get(identity)
        return found if isinstance(found, kind) and not self._is_gone(found) else None

    def all(self, kind: type[Kind]) -> Iterator[Kind]:
        """Every entry of a kind, in the order of their keys."""
        for _identity, entry in sorted(self._entries[kind.kind].items()):
            if isinstance(entry, kind) and not self._is_gone(entry):
                yield entry

    def keys(self) -> set[Key]:
        return {(kind, identity) for kind, entries in self._entries.items() for identity in entries}

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """Every metric by its key, those that were deleted too: what comes of them counts."""
        return self._entries[Metric.kind]  # type: ignore[return-value]

    @property
    def tenants(self) -> Set[str]:
        """The ids of those that are listed."""
        return self._entries[Tenant.kind].keys()

    def is_gauge(self, metric: str) -> bool:
        """Whether a reading of a metric holds until the next one, whatever period that is in."""
        found = self.metrics.get(metric)
        return found is not None and found.aggregation is Aggregation.TIME_WEIGHTED

    def tenant(self, tenant_id: str) -> Tenant:
        """What is known of a tenant; one that is not listed has the defaults."""
        return self.find(Tenant, tenant_id) or _NO_TENANT

    def tenant_of_customer(self, stripe_customer: str) -> str | None:
        """The id of the tenant that is this customer at Stripe."""
        return self._customers.get(stripe_customer)

    def plan(self, id: str) -> Plan | None:
        return self.find(Plan, id)

    def tenant_plan(self, tenant_id: str) -> TenantPlan:
        """Which plans a tenant was, is and will be on; one that nobody put on any has no spans."""
        return self.find(TenantPlan, tenant_id) or _ON_NO_PLAN.model_copy(update={"tenant_id": tenant_id})

    def plan_of(self, tenant_id: str, instant: datetime) -> Plan | None:
        """The plan that a tenant is on at an instant; its terms then are ``plan.at(instant)``."""
        found = self.find(TenantPlan, tenant_id)
        id = found.at(instant) if found is not None else None
        return self.plan(id) if id is not None else None

    def quota(self, tenant_id: str, metric: str, subject: str = "") -> Quota | None:
        """The quota that applies: the scope's own or, for a tenant itself, the one for all."""
        own = self._quotas.get((tenant_id, metric, subject))
        return own if own is not None or subject else self._quotas.get(("", metric, ""))

    def thresholds(self, tenant_id: str, metric: str, subject: str = "") -> tuple[Threshold, ...]:
        """The thresholds that apply: the scope's own or, for a tenant without any, those for all."""
        own = self._thresholds.get((tenant_id, metric, subject))
        if own is None and not subject:
            own = self._thresholds.get(("", metric, ""))
        return own or ()

    def calendar(self, entry: Quota | Threshold, tenant_id: str) -> Calendar:
        """The calendar that a quota or threshold counts a tenant's usage in."""
        quota = self.quota(tenant_id, entry.metric, entry.subject) if isinstance(entry, Threshold) else None
        metric = self.metrics.get(entry.metric)
        tenant = self.tenant(tenant_id)
        period = (
            entry.period
            or (quota.period if quota is not None else None)
            or (metric.reset_period if metric is not None else Period.MONTHLY)
        )
        zone = entry.time_zone or (quota.time_zone if quota is not None else None) or tenant.time_zone
        return Calendar(period, zone, tenant.billing_anchor if period is Period.BILLING else 1)

    def _is_gone(self, entry: Entry) -> bool:
        return isinstance(entry, Metric) and entry.key in self._deleted

    def _put(self, entry: Entry) -> None:
        self._remove(entry.kind, entry.identity)
        if isinstance(entry, Metric):
            self._deleted.discard(entry.key)
        self._entries[entry.kind][entry.identity] = entry
        if isinstance(entry, Quota):
            self._quotas[entry.scope] = entry
        elif isinstance(entry, Tenant) and entry.stripe_customer:
            self._customers[entry.stripe_customer] = entry.id
        elif isinstance(entry, Threshold):
            self._thresholds[entry.scope] = (*self._thresholds.get(entry.scope, ()), entry)

    def _remove(self, kind: str, identity: str) -> None:
        found = self._entries[kind].get(identity)
        if isinstance(found, Metric):
            self._entries[kind][identity] = found.model_copy(update={"retired": True})
            self._deleted.add(identity)
        elif found is not None:
            del self._entries[kind][identity]
        if isinstance(found, Quota):
            del self._quotas[found.scope]
        elif isinstance(found, Tenant):
            if self._customers.get(found.stripe_customer) == found.id:
                del self._customers[found.stripe_customer]
        elif isinstance(found, Threshold):
            left = tuple(other for other in self._thresholds[found.scope] if other.id != found.id)
            if left:
                self._thresholds[found.scope] = left
            else:
                del self._thresholds[found.scope]


def counts_in_stream(aggregation: Aggregation) -> bool:
    """Whether a quota or threshold can be kept on it: whether it is known from running numbers.

    Of a ``time_weighted`` metric a quota limits the level, its last reading: that is what can be held at a time.
    """
    return not aggregation.from_events or aggregation is Aggregation.TIME_WEIGHTED
