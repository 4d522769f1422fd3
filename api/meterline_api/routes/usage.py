"""``GET /v1/usage`` and ``POST /v1/usage/query``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from meterline_api.access.guard import needs, tenants_of
from meterline_api.access.principal import Right
from meterline_api.entries import fields_of
from meterline_api.formats.chosen import FORMATS, format_of
from meterline_api.formats.table import Format
from meterline_api.models import UsageAnswer
from meterline_api.routes import aggregate
from meterline_api.service import Service
from meterline_api.usage import examples as usage_examples
from meterline_api.usage import table as usage_table
from meterline_api.usage.answer import usage_of as usage_of
from meterline_api.usage.freshness import wait_until_complete
from meterline_api.usage.parameters import UsageInBody, UsageInUrl, offsets_of, query_of, read_parameters
from meterline_api.usage.ranges import instant_of as instant_of
from meterline_api.usage.ranges import range_of as range_of

router = APIRouter(dependencies=[needs(Right.READ_USAGE)])
router.include_router(aggregate.router)

_Format = Annotated[Format, format_of(*FORMATS)]


@router.get(
    "/v1/usage",
    response_model=UsageAnswer,
    response_model_exclude_unset=True,
    responses=usage_table.answers(),
    summary="Usage of tenants and metrics",
    tags=["usage"],
)
async def get_usage(
    request: Request, response: Response, asked: Annotated[UsageInUrl, Query()], format: _Format
) -> UsageAnswer | Response:
    """What was used in `[from, to)`, late events included, as each metric is aggregated.

    The number of a window is computed for that window: a day's average, maximum, percentile or unique count is that of
    its events and not of its hours. A `time_weighted` metric is the reading of a gauge, one for each tenant and
    subject, which holds until the next; its number is in unit x hours, up to now at most, and groups are sums over
    their gauges.

    Usage is kept by the hour, so `from` and `to` are whole hours; what is computed from the single events takes whole
    minutes. Windows follow `timezone`, over its summer time too: a day may have 23 or 25 hours. One that the range cuts
    is answered for the part inside, and each row says which part that is, in UTC. Without `tenant_id`, and not grouped
    by it, all tenants that the caller reaches are taken together.
    """
    found = await _answer(request, asked)
    response.headers["Vary"] = "Accept"
    if format is Format.JSON:
        return found
    return usage_table.table(request, format, found, asked.group_by, compared=asked.compare is not None)


@router.post(
    "/v1/usage/query",
    response_model=UsageAnswer,
    response_model_exclude_unset=True,
    responses=usage_examples.BODY_ANSWERS,
    openapi_extra=usage_examples.BODY,
    summary="Usage of tenants and metrics, asked with a body",
    tags=["usage"],
)
async def query_usage(request: Request) -> UsageAnswer:
    """As `GET /v1/usage`, with its parameters as members of a JSON object; nothing is changed by it.

    A `filter` is an object of fields (`tenant_id`, `metric`, `subject`, `source`, `quantity`, `timestamp`,
    `properties.<name>`), each with what it must be: `{"subject": {"prefix": "user:"}, "quantity": {"gt": "2.5"}}`. All
    of an object must hold; `{"or": [{…}, {…}]}` and `{"and": […]}` combine, five deep at most.
    """
    return await _answer(request, read_parameters(await fields_of(request)))


async def _answer(request: Request, asked: UsageInUrl | UsageInBody) -> UsageAnswer:
    service: Service = request.app.state.service
    tenants = tenants_of(request, asked.tenant_id)
    offsets, now = offsets_of(asked), datetime.now(UTC)
    query = query_of(asked, tenants, service.catalog.book.metrics, now)
    if offsets:
        await wait_until_complete(service.clickhouse, offsets)
    return await usage_of(service, query, now)
