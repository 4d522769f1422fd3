"""Prices, charges and periods that Hypothesis chooses from. Quantities of them are in tenths."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Final

from hypothesis import settings
from hypothesis import strategies as st

from meterline_schemas.catalog import Charge
from meterline_schemas.catalog.price import Graduated, Package, Percentage, PerUnit, Price, Tier, TieredFlat, Volume

START: Final = datetime(2026, 11, 1, tzinfo=UTC)
END: Final = datetime(2026, 12, 1, tzinfo=UTC)

FEW: Final = settings(max_examples=40, deadline=None)
"""What is chosen is large: less of it, and no limit on the time that it takes."""

MONEY: Final = st.decimals(0, 20, places=4)
TENTHS: Final = st.integers(1, 150).map(lambda tenths: Decimal(tenths) / 10)
SHARES: Final = st.sampled_from([Fraction(1), Fraction(1), Fraction(1, 2), Fraction(1, 3), Fraction(5, 7)])


@st.composite
def tiers(draw: st.DrawFn, unit_prices: bool = True) -> tuple[Tier, ...]:
    bounds: list[Decimal | None] = [*sorted(draw(st.sets(TENTHS, max_size=4))), None]
    price = MONEY if unit_prices else st.just(Decimal(0))
    flat = st.one_of(st.just(Decimal(0)), MONEY)
    return tuple(Tier(up_to=bound, unit_price=draw(price), flat=draw(flat)) for bound in bounds)


RISING: Final = st.one_of(
    st.builds(PerUnit, unit_price=MONEY, per=st.sampled_from([Decimal(1), Decimal(7), Decimal(1000)])),
    st.builds(Package, price=MONEY, size=TENTHS),
    st.builds(Graduated, tiers=tiers()),
    st.builds(Percentage, percent=st.decimals(0, 100, places=3)),
)
"""Of which more costs no less."""
PRICES: Final[st.SearchStrategy[Price]] = st.one_of(
    RISING, st.builds(Volume, tiers=tiers()), st.builds(TieredFlat, tiers=tiers(unit_prices=False))
)


@st.composite
def charges(draw: st.DrawFn, prices: st.SearchStrategy[Price] = PRICES, metric: str = "orders") -> Charge:
    least, most = sorted((draw(MONEY), draw(MONEY)))
    return Charge(
        metric=metric,
        price=draw(prices),
        included=draw(st.one_of(st.just(Decimal(0)), TENTHS)),
        discount_percent=draw(st.sampled_from([Decimal(0), Decimal(10), Decimal("33.3"), Decimal(100)])),
        minimum=draw(st.one_of(st.none(), st.just(least))),
        cap=draw(st.one_of(st.none(), st.just(most))),
    )
