"""What cannot be priced.

PricingError
├── CurrencyChangeError  a period has plans in two currencies
├── UnknownPlanError     a tenant is on a plan that is not in the catalog
├── NoUnitMonthsError    a charge is of unit-months, and the metric has none
└── NoRateError          no rate of exchange is configured
"""

from __future__ import annotations

from datetime import date, datetime

from meterline_schemas.errors import MeterlineError


class PricingError(MeterlineError):
    """What is asked for cannot be priced; nothing was charged."""


class CurrencyChangeError(PricingError):
    """An invoice is in one currency."""

    def __init__(self, before: tuple[str, str], after: tuple[str, str], at: datetime) -> None:
        super().__init__(
            f"at {at:%Y-%m-%dT%H:%M:%SZ} plan {after[0]!r} in {after[1]} follows plan {before[0]!r} in {before[1]}: "
            "an invoice is in one currency, so let the change begin where a period begins"
        )


class UnknownPlanError(PricingError):
    """What the tenant owes is not known."""

    def __init__(self, tenant_id: str, plan: str) -> None:
        super().__init__(
            f"tenant {tenant_id!r} is on plan {plan!r}, which is not in the catalog: define it, "
            "or put the tenant on another"
        )


class NoUnitMonthsError(PricingError):
    """The metric is no gauge."""

    def __init__(self, metric: str, plan: str) -> None:
        super().__init__(
            f"plan {plan!r} charges {metric!r} by unit_months, which only a time_weighted metric has: "
            "charge it as_metered, or define it as time_weighted"
        )


class NoRateError(PricingError):
    """What the total is in another currency is not known."""

    def __init__(self, base: str, currency: str, on: date) -> None:
        super().__init__(
            f"no rate from {base} to {currency} is configured for {on.isoformat()} or before: add one, "
            "with its source and date"
        )
