"""What usage comes to against a limit and at a price, as all answers and notifications say it. Pure.

Amounts are integers of nano-units, what comes out is a plain decimal.
"""

from __future__ import annotations

from meterline_schemas.quantity import NANO, format_nano


def reached(used: int, level: int) -> bool:
    """Whether as much as ``level`` was used; 0 is reached by any usage, and not by none."""
    return used >= max(level, 1)


def percent(used: int, limit: int) -> str:
    """``used`` in percent of ``limit``, cut to two decimals; of a limit of 0 it is 100 for any usage, and else 0."""
    if limit == 0:
        return "100" if used > 0 else "0"
    hundredths = abs(used) * 10_000 // limit
    return format_nano((-hundredths if used < 0 else hundredths) * (NANO // 100))


def cost(amount: int, price: int) -> str:
    """The exact product of two amounts that are not negative, with up to 18 decimals."""
    whole, fraction = divmod(amount * price, NANO * NANO)
    return f"{whole}.{fraction:018d}".rstrip("0").rstrip(".")
