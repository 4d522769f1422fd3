"""How usage is folded for a window, and which of its numbers is the value of a metric, in SQL. Pure."""

from __future__ import annotations

from typing import Final

OF_PARTS: Final = (
    "sum(u.count) AS events, sum(u.sum) AS total, min(u.min) AS least_one, max(u.max) AS greatest_one, "
    "argMax(u.last, (u.last_timestamp, u.last_id)) AS final_one, max(u.last_timestamp) AS final_timestamp, "
    "argMax(u.last_id, (u.last_timestamp, u.last_id)) AS final_id"
)
OF_EVENTS: Final = (
    "count() AS events, sum(toDecimal256(u.quantity, 9)) AS total, min(u.quantity) AS least_one, "
    "max(u.quantity) AS greatest_one, argMax(u.quantity, (u.timestamp, u.id)) AS final_one, "
    "max(u.timestamp) AS final_timestamp, argMax(u.id, (u.timestamp, u.id)) AS final_id"
)
# in whole billionths: the quotient nearest to sum / count, half to even
_NANO: Final = "abs(toInt256(total * 1000000000))"
_QUOTIENT: Final = f"intDiv({_NANO}, toInt256(events))"
_TWICE: Final = f"2 * ({_NANO} - {_QUOTIENT} * toInt256(events))"
_UP: Final = f"({_TWICE} > toInt256(events) OR ({_TWICE} = toInt256(events) AND bitAnd({_QUOTIENT}, toInt256(1)) = 1))"
_AVERAGE: Final = (
    f"toDecimal256(({_QUOTIENT} + if({_UP}, 1, 0)) * if(total < 0, -1, 1), 9) / toDecimal256(1000000000, 0)"
)
VALUE: Final = (
    "multiIf(aggregation = 'sum', toNullable(total), aggregation = 'count', toDecimal256(events, 9), "
    f"aggregation = 'avg', toDecimal256({_AVERAGE}, 9), aggregation = 'min', toDecimal256(least_one, 9), "
    "aggregation = 'max', toDecimal256(greatest_one, 9), aggregation = 'last', toDecimal256(final_one, 9), NULL)"
)
