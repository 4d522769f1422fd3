"""``/pricing``: what plans cost, as the requirement documents show it: a page for people, and the same as JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, Field

from meterline_api.access.guard import READS
from meterline_api.billing.pricelist.html import as_html
from meterline_api.billing.pricelist.lists import price_list
from meterline_api.billing.rendering.html import CONTENT_SECURITY_POLICY
from meterline_api.entries import answer, editor_of
from meterline_api.routes.plans import reaches
from meterline_schemas.catalog import Plan
from meterline_schemas.periods import Period

router = APIRouter(tags=["plans"], dependencies=READS)


class PageForm(StrEnum):
    """How a price list is written."""

    JSON = "json"
    HTML = "html"


class Rate(BaseModel):
    metric: str
    service: str = Field(description="Of a metric that is named `service.usage_type`; else empty.")
    usage_type: str
    name: str
    description: str
    unit: str
    included: str = Field(description="How much of it is not charged in a period, a decimal.")
    price: dict[str, Any] = Field(description="As the plan has it.")
    text: str = Field(description="The price for people.")


class PriceList(BaseModel):
    """What a plan costs now."""

    id: str
    name: str
    description: str
    currency: str
    period: Period
    base_fee: str
    text: str = Field(description="The base fee for people.")
    until: AwareDatetime | None = Field(description="When its next version begins; null: there is none.")
    rates: list[Rate]


class PriceLists(BaseModel):
    plans: list[PriceList]


@router.get(
    "/pricing",
    response_model=PriceLists,
    responses={200: {"description": "The price lists.", "content": {"text/html": {"schema": {"type": "string"}}}}},
    summary="What plans cost, for people",
)
async def show_pricing(
    request: Request,
    plan: Annotated[str | None, Query(max_length=64, description="Only this one.")] = None,
    format: Annotated[PageForm, Query(description="How it is written.")] = PageForm.JSON,
) -> Response:
    """The base fee, rates and descriptions of plans as they are now, in the order of their ids. A key of some tenants
    has those that these are, were or will be on.
    """
    book, now = editor_of(request).catalog.book, datetime.now(UTC)
    found = [
        price_list(each, book.metrics, now)
        for each in book.all(Plan)
        if plan in (None, each.id) and reaches(request, book, each.id)
    ]
    if format is PageForm.HTML:
        headers = {"Content-Security-Policy": CONTENT_SECURITY_POLICY}
        return Response(as_html(found), media_type="text/html; charset=utf-8", headers=headers)
    return answer({"plans": found})
