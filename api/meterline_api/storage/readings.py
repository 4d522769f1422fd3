"""Findings as readings of a gauge: which tenants get one, and by which id. Pure.

A reading's id is made from the metric, the tenant and the instant that the measure is for. Whoever measures for the
same instant (another process, a run that is tried again) makes the same event, and it counts once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec

from meterline_api.storage.errors import NothingFoundError
from meterline_api.storage.findings import Finding, Passed, Stored, Unmeasured
from meterline_api.storage.unit import Unit, quantity
from meterline_schemas.quantity import exact_nano


@dataclass(frozen=True)
class Past:
    """What readings there are of a tenant: the level before an instant, and whether there is one for it already."""

    level: str
    done: bool


@dataclass(frozen=True)
class Reading:
    """One event to be. ``quantity`` is ``bytes`` in the metric's unit."""

    id: str
    tenant_id: str
    bytes: int
    quantity: str


@dataclass(frozen=True)
class Plan:
    """``readings`` are to be sent, of ``failed`` nothing is known; both in the order of tenants."""

    readings: list[Reading]
    failed: list[Unmeasured]

    def of(self, tenants: Collection[str] | None) -> Plan:
        """The part that is about these tenants; None: all of it."""
        if tenants is None:
            return self
        return Plan(
            [one for one in self.readings if one.tenant_id in tenants],
            [one for one in self.failed if one.tenant_id in tenants],
        )


def reading_id(metric: str, tenant_id: str, at: datetime) -> str:
    key = msgspec.json.encode([metric, tenant_id, at])
    return "storage_" + hashlib.sha256(key).hexdigest()[:32]


def plan(
    findings: Iterable[Finding],
    past: Mapping[str, Past],
    metric: str,
    unit: Unit,
    at: datetime,
    *,
    allow_empty: bool = False,
) -> Plan:
    """What is to be sent for an instant.

    Every tenant that was measured has a reading, and one that stored something and has no place any more a reading
    of 0. A tenant that has its reading for the instant needs none.

    Raises:
        NothingFoundError: where ``allow_empty`` is not set.
    """
    sizes: dict[str, int] = {}
    failed: dict[str, Unmeasured] = {}
    passed: set[str] = set()
    for finding in findings:
        match finding:
            case Stored(tenant_id, size):
                sizes[tenant_id] = sizes.get(tenant_id, 0) + size
            case Unmeasured(tenant_id):
                failed[tenant_id] = finding
            case Passed(tenant_id):
                passed.add(tenant_id)
    had = {tenant_id for tenant_id, one in past.items() if exact_nano(one.level) > 0}
    if len(had) > 1 and not (sizes or failed or passed or allow_empty):
        raise NothingFoundError(len(had))
    sizes.update(dict.fromkeys(had - sizes.keys() - passed, 0))
    readings = [
        Reading(reading_id(metric, tenant_id, at), tenant_id, size, quantity(size, unit))
        for tenant_id, size in sorted(sizes.items())
        if tenant_id not in failed and not (tenant_id in past and past[tenant_id].done)
    ]
    return Plan(readings, [failed[tenant_id] for tenant_id in sorted(failed)])


def complete(past: Mapping[str, Past]) -> bool:
    """Whether the run for an instant is done: it has readings, and of every tenant that stored something before."""
    return any(one.done for one in past.values()) and all(
        one.done for one in past.values() if exact_nano(one.level) > 0
    )
