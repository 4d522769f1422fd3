"""Meters by their slugs, as far as a caller may know of them."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import NamedTuple

from fastapi import Request

from meterline_api.access.guard import caller
from meterline_api.access.visible import may_read
from meterline_api.openmeter.definitions import contradiction
from meterline_api.openmeter.meters import Meter, Meters
from meterline_api.problems import Code, Problem
from meterline_api.service import Service
from meterline_schemas.catalog import Metric


class Defined(NamedTuple):
    """A metric of the catalog, and the meter in the file with meters that counts it, if there is one."""

    metric: Metric
    meter: Meter | None


def meters_of(request: Request) -> Iterator[Defined]:
    """All that the caller may know of, retired ones too."""
    service: Service = request.app.state.service
    meters: Meters = request.app.state.openmeter
    for metric in service.catalog.all(Metric):
        if may_read(caller(request), metric):
            yield Defined(metric, meters.by_slug.get(metric.key))


def meter_of(request: Request, slug: str) -> Defined:
    """One meter.

    Raises:
        Problem: 404, there is none; 409, the catalog and the file with meters do not agree on what it is.
    """
    service: Service = request.app.state.service
    meters: Meters = request.app.state.openmeter
    metric, meter = service.catalog.metric(slug), meters.by_slug.get(slug)
    if metric is None or not may_read(caller(request), metric):
        why = f"there is no meter {slug[:100]!r}"
        if meter is not None:
            why = f"meter {slug!r} is in the file with meters, but the catalog has no metric {slug!r}: define it first"
        raise Problem(HTTPStatus.NOT_FOUND, Code.UNKNOWN_METRIC, why)
    wrong = contradiction(metric, meter) if meter is not None else ""
    if wrong:
        raise Problem(HTTPStatus.CONFLICT, Code.CONFLICT, f"meter {slug!r} cannot be answered: {wrong}")
    return Defined(metric, meter)
