"""Tenants whose raw rows were made anonymous: their subjects and values of properties are not what Kafka says. Pure.

What is still compared of such a row is all the rest: numbers, ids, whether it has a subject, and which properties.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from meterline_deploy.reconcile.shapes import EVENTS, Shape, events_without
from meterline_deploy.reconcile.warehouse import by_partition, text

STARTED: Final = "tenant.erase.started"
QUERY: Final = f"SELECT tenant_id, details FROM audit_log FINAL WHERE action = '{STARTED}' ORDER BY seq"

Erasures = Mapping[str, Mapping[int, int]]  # by tenant and partition: rows judged before this offset


class _Details(msgspec.Struct):
    until: dict[int, int]


def erasures_of(rows: Sequence[Sequence[Any]]) -> Erasures:
    """From the rows of ``QUERY``; of several erasures of a tenant the one that went furthest counts."""
    found: dict[str, dict[int, int]] = {}
    for tenant, details in rows:
        known = found.setdefault(str(tenant), {})
        for partition, offset in msgspec.json.decode(str(details), type=_Details).until.items():
            known[partition] = max(offset, known.get(partition, 0))
    return found


def shape_of_events(erasures: Erasures) -> Shape:
    """Rows of events as they are compared."""
    if not erasures:
        return EVENTS
    erased = " OR ".join(
        f"(tenant_id = {text(tenant)} AND kafka_offset < {by_partition(until, 0)})"
        for tenant, until in sorted(erasures.items())
    )
    return events_without(erased, lambda tenant, partition, offset: offset < erasures.get(tenant, {}).get(partition, 0))
