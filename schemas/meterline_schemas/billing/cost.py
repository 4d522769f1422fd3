"""What each day costs: records of ``billing.costs``, one for a tenant and a UTC day, written anew where it changes."""

from __future__ import annotations

import hashlib
from datetime import date, datetime
from decimal import Decimal
from typing import Final

import msgspec
from msgspec import Struct

from meterline_schemas.billing.invoice import LineKind


class DayCost(Struct, frozen=True):
    """What a metric, or the base fee, cost on a day by a plan, in the tenant's period ``[start, end)``.

    ``cost`` is in units of the currency with up to 18 decimals. It is below 0 where more usage costs less.
    """

    kind: LineKind
    plan: str
    currency: str
    start: datetime
    end: datetime
    cost: Decimal
    metric: str = ""
    unit: str = ""
    quantity: Decimal = Decimal(0)


class DayCosts(Struct, frozen=True):
    """All that a tenant's day costs. ``fingerprint`` tells lines apart: two days with one have the same lines."""

    tenant_id: str
    day: date
    lines: tuple[DayCost, ...]
    computed_at: datetime
    fingerprint: str = ""

    @property
    def key(self) -> bytes:
        return f"{self.day.isoformat()}/{self.tenant_id}".encode()


encode: Final = msgspec.json.Encoder(decimal_format="string").encode
read_costs: Final = msgspec.json.Decoder(DayCosts).decode


def fingerprint(lines: tuple[DayCost, ...]) -> str:
    """Empty of no lines."""
    return hashlib.sha256(encode(lines)).hexdigest()[:32] if lines else ""
