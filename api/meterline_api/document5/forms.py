"""The document's usage report, invoice and summary. Pure.

Its service and usage type are one metric of ours, ``service.usage_type``. Its times are Unix seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

import msgspec
from msgspec import Struct

from meterline_api.billing.pricing.money import decimal_of
from meterline_api.documents.costs import Cost, change, total
from meterline_api.documents.instants import unix_seconds
from meterline_api.models import UsageRow
from meterline_api.numbers import number
from meterline_schemas.billing.invoice import Invoice, Line, Status
from meterline_schemas.event import Name
from meterline_schemas.quantity import parse_nano

DEFAULT_CURRENCY: Final = "USD"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Report(Struct, forbid_unknown_fields=True):
    """A usage record as it is sent; ``timestamp`` in Unix seconds, without it it is now."""

    service: Name
    usage_type: Name
    quantity: msgspec.Raw
    tenant_id: Name | None = None
    timestamp: int | float | None = None
    metadata: msgspec.Raw = msgspec.Raw()


read_report: Final[Callable[[bytes], Report]] = msgspec.json.Decoder(Report).decode


def metric_of(service: str, usage_type: str) -> str:
    return f"{service}.{usage_type}"


def service_of(metric: str) -> tuple[str, str]:
    """The service and usage type of a metric; one that is of no service has an empty one."""
    service, dot, usage_type = metric.partition(".")
    return (service, usage_type) if dot else ("", metric)


def instant(seconds: float) -> datetime | None:
    """The instant of Unix seconds; None where no calendar has it."""
    try:
        return _EPOCH + timedelta(milliseconds=round(seconds * 1000))
    except OverflowError:
        return None


def seconds_of(text: str) -> datetime | None:
    """The instant of Unix seconds as they stand in a query; None where it is no number."""
    try:
        return instant(parse_nano(text) / 10**9)
    except ValueError:
        return None


def invoice(
    tenant_id: str, period: tuple[datetime, datetime], costs: Mapping[str, Cost], currency: str
) -> dict[str, Any]:
    """Every metric that was used. What has no price is not charged and stands apart."""
    priced = {metric: cost for metric, cost in sorted(costs.items()) if cost.amount is not None}
    return {
        "id": f"inv_{tenant_id}_{unix_seconds(period[0])}",
        "tenant_id": tenant_id,
        "period_start": unix_seconds(period[0]),
        "period_end": unix_seconds(period[1]),
        "items": [
            {
                **_named(metric),
                "quantity": number(cost.quantity),
                "included": number(cost.included or Decimal(0)),
                "rate": number(cost.rate or Decimal(0)),
                "amount": number(cost.amount or Decimal(0)),
            }
            for metric, cost in priced.items()
        ],
        "total_amount": number(total(cost.amount or Decimal(0) for cost in priced.values())),
        "currency": currency,
        "status": "generated",
        "unpriced": [
            {**_named(metric), "quantity": number(cost.quantity)}
            for metric, cost in sorted(costs.items())
            if cost.rate is None
        ],
    }


def plan_invoice(
    tenant_id: str,
    period: tuple[datetime, datetime],
    lines: Iterable[Line],
    unpriced: Mapping[str, Decimal],
    currency: str,
    kept: Invoice | None,
) -> dict[str, Any]:
    """By a plan: an item for each of its lines; those of several periods at one rate are one. ``kept`` is the invoice
    that was closed for the period, ``unpriced`` what was used and the plan does not charge.
    """
    lines = list(lines)
    return {
        "id": f"inv_{tenant_id}_{unix_seconds(period[0])}",
        "tenant_id": tenant_id,
        "period_start": unix_seconds(period[0]),
        "period_end": unix_seconds(period[1]),
        "items": _items(lines),
        "total_amount": number(total(line.amount for line in lines)),
        "currency": currency,
        "status": "generated",
        "unpriced": [{**_named(metric), "quantity": number(used)} for metric, used in sorted(unpriced.items())],
        "number": kept.number if kept is not None else None,
        "state": kept.status if kept is not None else Status.DRAFT,
    }


def _items(lines: Iterable[Line]) -> list[dict[str, Any]]:
    together: dict[tuple[str, str, Decimal | None, Decimal | None, str], list[Line]] = {}
    for line in lines:
        together.setdefault((line.kind, line.metric, line.rate, line.per, line.origin), []).append(line)
    return [_item(same) for same in together.values()]


def _item(same: Sequence[Line]) -> dict[str, Any]:
    first = same[0]
    is_usage = bool(first.metric)
    quantities = (each.quantity if is_usage else (each.share or Decimal(1)) for each in same)
    rate = None if first.rate is None else decimal_of(Fraction(first.rate) / Fraction(first.per or 1))
    return {
        **(_named(first.metric) if is_usage else {"service": "", "usage_type": first.kind}),
        "quantity": number(total(each or Decimal(0) for each in quantities)),
        "included": number(total(each.included or Decimal(0) for each in same)),
        "rate": None if rate is None else number(rate),
        "amount": number(total(each.amount for each in same)),
    }


def usage(
    tenant_id: str,
    period: tuple[datetime, datetime],
    rows: Mapping[str, UsageRow],
    before: Mapping[str, UsageRow],
    days: Iterable[UsageRow],
) -> dict[str, Any]:
    """Usage by service; ``before`` is that of as long a period before, ``days`` that of each day."""
    services: dict[str, dict[str, Any]] = {}
    for metric in sorted({*rows, *before}):
        service, usage_type = service_of(metric)
        row, earlier = rows.get(metric), before.get(metric)
        now, then = (Decimal(one.value) if one is not None else Decimal(0) for one in (row, earlier))
        percent = change(now, then)
        services.setdefault(service, {})[usage_type] = {
            "quantity": number(now),
            "records": row.count if row is not None else 0,
            "unit": next((one.unit for one in (row, earlier) if one is not None), ""),
            "previous_quantity": number(then),
            "change_percent": None if percent is None else number(percent),
        }
    return {
        "tenant_id": tenant_id,
        "period_start": unix_seconds(period[0]),
        "period_end": unix_seconds(period[1]),
        "services": services,
        "total_quantity": number(total(Decimal(row.value) for row in rows.values())),
        "total_records": sum(row.count for row in rows.values()),
        "trend": [
            {**_named(row.metric), "day": unix_seconds(row.start), "quantity": number(row.value)} for row in days
        ],
    }


def _named(metric: str) -> dict[str, str]:
    service, usage_type = service_of(metric)
    return {"service": service, "usage_type": usage_type}
