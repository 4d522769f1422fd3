"""Rows of the records of ``billing.costs``. Pure."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, Final

import msgspec

from meterline_schemas.billing.cost import DayCost, read_costs
from meterline_schemas.reading import UNREADABLE
from meterline_sinks.rows import Row, UnreadableError, instant

COSTS: Final = "daily_costs_raw"

_encode: Final = msgspec.json.Encoder().encode
_exact: Final = Context(prec=120, rounding=ROUND_HALF_EVEN)
_NINE: Final = Decimal("1e-9")
_EIGHTEEN: Final = Decimal("1e-18")


def cost_row(offset: int, value: bytes) -> Row:
    """A table, and the row of a record in it.

    Raises:
        UnreadableError: the record is none that this version can read.
    """
    try:
        found = read_costs(value)
    except UNREADABLE as error:
        raise UnreadableError(f"the costs of a day cannot be read: {' '.join(str(error).split())}") from None
    return COSTS, _encode(
        {
            "tenant_id": found.tenant_id,
            "day": found.day.isoformat(),
            "lines": [_line(line) for line in found.lines],
            "fingerprint": found.fingerprint,
            "computed_at": instant(found.computed_at),
            "kafka_offset": offset,
        }
    )


def _line(line: DayCost) -> dict[str, Any]:
    return {
        "kind": line.kind,
        "metric": line.metric,
        "plan": line.plan,
        "currency": line.currency,
        "period_start": instant(line.start),
        "period_end": instant(line.end),
        "unit": line.unit,
        "quantity": format(_exact.quantize(line.quantity, _NINE), "f"),
        "cost": format(_exact.quantize(line.cost, _EIGHTEEN), "f"),
    }
