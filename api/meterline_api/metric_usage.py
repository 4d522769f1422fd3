"""Whether a metric was ever used: what was counted must stay explainable."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from meterline_api.clickhouse import ClickHouse
from meterline_api.problems import Code, Problem
from meterline_schemas.errors import UnavailableError

_ANY: Final = (
    "SELECT count() FROM ("
    "SELECT 1 FROM usage_totals WHERE metric = {metric:String} LIMIT 1 "
    "UNION ALL "
    "SELECT 1 FROM usage_events_raw WHERE metric = {metric:String} LIMIT 1)"
)


async def has_usage(clickhouse: ClickHouse, metric: str) -> bool:
    """Whether ClickHouse has a row of the metric.

    Raises:
        Problem: 503, it does not answer.
    """
    try:
        ((rows,),) = await clickhouse.rows(_ANY, {"metric": metric})
    except UnavailableError as error:
        raise Problem(
            HTTPStatus.SERVICE_UNAVAILABLE,
            Code.CLICKHOUSE_UNAVAILABLE,
            f"whether metric {metric!r} has usage cannot be told, so nothing was changed: {error}",
            headers={"Retry-After": "5"},
        ) from None
    return bool(rows)
