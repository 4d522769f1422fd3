"""Whether a metric was ever used: what was counted must stay explainable."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Final

from meterline_api.problems import Code, Problem
from meterline_api.service import Service
from meterline_schemas.errors import UnavailableError

_ANY: Final = (
    "SELECT count() FROM ("
    "SELECT 1 FROM usage_totals WHERE metric = {metric:String} LIMIT 1 "
    "UNION ALL "
    "SELECT 1 FROM usage_events_raw WHERE metric = {metric:String} LIMIT 1)"
)
_PATIENCE: Final = 3.0  # seconds; a sink that is well is behind by less


async def has_usage(service: Service, metric: str) -> bool:
    """Whether there is usage of the metric: in ClickHouse, or on its way there when this is called.

    Raises:
        Problem: 503, that cannot be told.
    """
    try:
        if await _has_rows(service, metric):
            return True
    except UnavailableError as error:
        raise _unknown(metric, Code.CLICKHOUSE_UNAVAILABLE, str(error)) from None
    try:
        passed_on = await asyncio.to_thread(service.watch.passed_on, _PATIENCE)
    except UnavailableError as error:
        raise _unknown(metric, Code.KAFKA_UNAVAILABLE, str(error)) from None
    if not passed_on:
        detail = "ClickHouse does not have all events yet, the stream or the sink is behind; try again in a moment"
        raise _unknown(metric, Code.NOT_READY, detail)
    try:
        return await _has_rows(service, metric)
    except UnavailableError as error:
        raise _unknown(metric, Code.CLICKHOUSE_UNAVAILABLE, str(error)) from None


async def _has_rows(service: Service, metric: str) -> bool:
    ((rows,),) = await service.clickhouse.rows(_ANY, {"metric": metric})
    return bool(rows)


def _unknown(metric: str, code: Code, why: str) -> Problem:
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        code,
        f"whether metric {metric!r} has usage cannot be told, so nothing was changed: {why}",
        headers={"Retry-After": "5"},
    )
