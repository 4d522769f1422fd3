"""A period with what was used in it and what that comes to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from meterline_api.billing.invoices.document import Interval, parts_of
from meterline_api.billing.invoices.periods import Due
from meterline_api.billing.invoices.quantities import Quantities
from meterline_api.billing.pricing.bill import Bill, Part, bill
from meterline_api.billing.pricing.money import Rounding
from meterline_schemas.catalog import Book


class PricedPeriod(NamedTuple):
    """``parts`` are the period's segments with what was used in each, ``bill`` what they come to."""

    due: Due
    parts: list[Part]
    bill: Bill


def priced_period(due: Due, found: Mapping[Interval, Quantities], book: Book, rounding: Rounding) -> PricedPeriod:
    """What a period comes to; ``found`` has each of its segments.

    Raises:
        PricingError: it cannot be priced.
    """
    parts = parts_of(due, found, book.metrics)
    return PricedPeriod(due, parts, bill(parts, rounding))
