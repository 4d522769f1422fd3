"""``/v1/invoices``: documents as they were closed, drafts of what is open, and what changed since."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, Field

from meterline_api.access.guard import caller, needs, refuse_unseen, tenants_of
from meterline_api.access.principal import Right
from meterline_api.audit.auditing import author_of
from meterline_api.billing.invoices.document import Change, credit_note_of
from meterline_api.billing.invoices.drafts import draft
from meterline_api.billing.invoices.ledger import AlreadyVoidError
from meterline_api.billing.invoices.running import Invoices
from meterline_api.billing.invoices.store import Wanted
from meterline_api.billing.payments.models import InvoicePayment
from meterline_api.billing.pricing.errors import PricingError
from meterline_api.billing.rendering.csv import as_csv
from meterline_api.billing.rendering.html import CONTENT_SECURITY_POLICY, as_html
from meterline_api.billing.rendering.json import as_json, body
from meterline_api.billing.rendering.pdf import as_pdf
from meterline_api.billing.rendering.settings import DocumentSettings
from meterline_api.billing.rendering.words import exact
from meterline_api.by_catalog import BY_CATALOG
from meterline_api.entries import document, model_of
from meterline_api.examples import json_body
from meterline_api.problems import Code, Problem
from meterline_api.routes.parameters import Cursor, Limit
from meterline_api.routes.payments import PaymentStates
from meterline_api.service import Service
from meterline_api.storage.thread import in_thread
from meterline_schemas.audit.entry import Draft
from meterline_schemas.billing.invoice import DocumentKind, Invoice, Status
from meterline_schemas.errors import UnavailableError
from meterline_schemas.event import MAX_ID

router = APIRouter(tags=["billing"], dependencies=[needs(Right.MANAGE_FINANCE)])

_RETRY: Final = {"Retry-After": "5"}


class Form(StrEnum):
    """How a document is written."""

    JSON = "json"
    CSV = "csv"
    HTML = "html"
    PDF = "pdf"


_TYPES: Final[Mapping[Form, str]] = {
    Form.JSON: "application/json",
    Form.CSV: "text/csv; charset=utf-8",
    Form.HTML: "text/html; charset=utf-8",
    Form.PDF: "application/pdf",
}
_PROBLEM: Final[dict[str, Any]] = {"content": {"application/problem+json": {}}}
_DOCUMENT: Final[dict[str | int, dict[str, Any]]] = {
    200: {
        "description": "The document.",
        "content": {"application/json": {}, "text/csv": {}, "text/html": {}, "application/pdf": {}},
    },
    404: {"description": "There is none.", **_PROBLEM},
    503: {"description": "ClickHouse or Kafka does not answer.", **_PROBLEM},
}
FormOf = Annotated[Form, Query(alias="format", description="How it is written.")]
Number = Annotated[str, Path(max_length=64, description="Number of the document, such as INV-000001.")]
TenantPath = Annotated[str, Path(max_length=MAX_ID)]


class InvoicePage(BaseModel):
    """Documents in the order of their numbers, each as ``GET /v1/invoices/{number}`` gives it."""

    data: list[dict[str, Any]]
    next_cursor: str | None = None


class VoidRequest(BaseModel):
    reason: str = Field(min_length=1, max_length=1000, description="Stands on the credit note.")


class ChangeAfterClose(BaseModel):
    """A line of a closed invoice that comes to something else by now; the next invoice has an adjustment for it."""

    invoice: str
    metric: str
    start: datetime
    end: datetime
    quantity: str = Field(description="How much more was used than was told, a decimal.")
    amount: str = Field(description="How much more it comes to, a decimal.")
    events: str


class ChangesAfterClose(BaseModel):
    data: list[ChangeAfterClose]


@router.get(
    "/v1/invoices",
    response_model=InvoicePage,
    responses={503: _DOCUMENT[503]},
    summary="List invoices and credit notes",
)
async def list_invoices(
    request: Request,
    tenant_id: Annotated[str | None, Query(max_length=MAX_ID)] = None,
    kind: Annotated[DocumentKind | None, Query()] = None,
    start: Annotated[AwareDatetime | None, Query(alias="from", description="Periods that start then or later.")] = None,
    end: Annotated[AwareDatetime | None, Query(alias="to", description="Periods that end before.")] = None,
    payment: PaymentStates = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """Closed ones, each with its payment. A draft of what is open: ``GET /v1/tenants/{tenant_id}/draft-invoice``.

    What could not be collected: `?payment=failed&payment=retried`.
    """
    tenants = tenants_of(request, tenant_id)
    wanted = Wanted(tenants, kind, start, end, cursor or "", limit, tuple(payment or ()))
    store = _invoices(request).closer.store
    try:
        found = await store.page(wanted)
        payments = await store.payments_of(found[:limit])
    except UnavailableError as error:
        raise _away(error) from None
    answer: dict[str, Any] = {"data": [_with_payment(each, payments) for each in found[:limit]]}
    if len(found) > limit:
        answer["next_cursor"] = found[limit - 1].number
    return Response(msgspec.json.encode(answer), media_type=_TYPES[Form.JSON])


@router.get("/v1/invoices/{number}", response_class=Response, responses=_DOCUMENT, summary="Get an invoice")
async def get_closed_invoice(request: Request, number: Number, format: FormOf = Form.JSON) -> Response:
    """A document by its number: the same each time, as long as no credit note takes it back.

    As JSON it has its `payment` beside it, as whoever collects it told last; null where nobody did.
    """
    return await _written(request, await _find(request, number), format)


@router.post(
    "/v1/invoices/{number}/void",
    status_code=201,
    response_class=Response,
    responses={
        201: {"description": "The credit note.", "content": {"application/json": {}}},
        404: _DOCUMENT[404],
        409: {"description": "It is void already, or is no invoice.", **_PROBLEM},
        422: {"description": "The body is not of this form.", **_PROBLEM},
        503: _DOCUMENT[503],
    },
    openapi_extra=json_body(VoidRequest, {"reason": "agreed with the customer on 3 December"}),
    summary="Take an invoice back",
)
async def void_invoice(request: Request, number: Number) -> Response:
    """Write a credit note over the whole invoice, which stays as it is and is void from then on."""
    wanted = await model_of(request, VoidRequest)
    invoice = await _find(request, number)
    if invoice.kind is not DocumentKind.INVOICE:
        raise Problem(HTTPStatus.CONFLICT, Code.CONFLICT, f"{number} is a credit note; only an invoice is taken back")
    note = credit_note_of(invoice, wanted.reason, datetime.now(UTC).replace(microsecond=0))
    said = Draft(
        author=author_of(request),
        action="billing.invoice.voided",
        resource_type="invoice",
        resource_id=number,
        tenant_id=invoice.tenant_id,
        details={"reason": wanted.reason, "total": str(invoice.total), "currency": invoice.currency},
    )
    try:
        written = await in_thread(lambda: _invoices(request).ledger.credit(note, said))
    except AlreadyVoidError as error:
        raise Problem(HTTPStatus.CONFLICT, Code.CONFLICT, str(error)) from None
    except UnavailableError as error:
        raise _away(error, Code.KAFKA_UNAVAILABLE) from None
    return Response(as_json(written), HTTPStatus.CREATED, media_type=_TYPES[Form.JSON])


@router.get(
    "/v1/tenants/{tenant_id}/draft-invoice",
    response_class=Response,
    responses={**_DOCUMENT, 409: {"description": "It cannot be priced; the text says why.", **_PROBLEM}},
    summary="Get the invoice of a tenant's open period as it stands",
)
async def get_draft_invoice(request: Request, tenant_id: TenantPath, format: FormOf = Form.JSON) -> Response:
    """What the period that is open comes to so far; nothing of it is kept. 404 where the tenant is on no plan."""
    refuse_unseen(request, tenant_id)
    service: Service = request.app.state.service
    parts = _invoices(request)
    try:
        found = await draft(service.clickhouse, service.catalog.book, tenant_id, datetime.now(UTC), parts.settings)
    except PricingError as error:
        raise Problem(HTTPStatus.CONFLICT, Code.CONFLICT, str(error)) from None
    except UnavailableError as error:
        raise _away(error) from None
    if found is None:
        raise Problem(
            HTTPStatus.NOT_FOUND,
            Code.NOT_FOUND,
            f"tenant {tenant_id[:100]!r} is on no plan now; PUT /v1/tenants/{{id}}/plan puts it on one",
        )
    return await _written(request, found, format)


@router.get(
    "/v1/billing/changes-after-close",
    response_model=ChangesAfterClose,
    responses={503: _DOCUMENT[503]},
    dependencies=[BY_CATALOG],
    summary="List what came to closed invoices since",
)
async def list_changes_after_close(
    request: Request, tenant_id: Annotated[str | None, Query(max_length=MAX_ID)] = None
) -> Response:
    """Usage that came, or changed, after its period was closed, and is on no later invoice yet."""
    try:
        found = await _invoices(request).closer.changes(tenants_of(request, tenant_id))
    except UnavailableError as error:
        raise _away(error) from None
    return Response(msgspec.json.encode({"data": [_change(each) for each in found]}), media_type=_TYPES[Form.JSON])


async def _find(request: Request, number: str) -> Invoice:
    try:
        found = await _invoices(request).closer.store.find(number)
    except UnavailableError as error:
        raise _away(error) from None
    if found is None or not caller(request).sees(found.tenant_id):
        raise Problem(HTTPStatus.NOT_FOUND, Code.NOT_FOUND, f"there is no invoice {number!r}")
    return found


async def _written(request: Request, invoice: Invoice, form: Form) -> Response:
    settings: DocumentSettings = request.app.state.documents
    zone = request.app.state.service.catalog.book.tenant(invoice.tenant_id).time_zone
    headers = {}
    name = invoice.number or f"draft-{invoice.start:%Y-%m-%d}"
    match form:
        case Form.JSON:
            text = msgspec.json.encode(_with_payment(invoice, await _payments(request, invoice))) + b"\n"
        case Form.CSV:
            text = as_csv(invoice)
            headers["Content-Disposition"] = f'attachment; filename="{name}.csv"'
        case Form.HTML:
            text = await in_thread(lambda: as_html(invoice, settings.seller, zone))
            headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        case Form.PDF:
            text = await in_thread(lambda: as_pdf(invoice, settings.seller, zone, settings.font))
            headers["Content-Disposition"] = f'inline; filename="{name}.pdf"'
    if invoice.status is Status.DRAFT:
        headers["Cache-Control"] = "no-store"
    return Response(text, media_type=_TYPES[form], headers=headers)


async def _payments(request: Request, invoice: Invoice) -> Mapping[str, InvoicePayment]:
    try:
        return await _invoices(request).closer.store.payments_of([invoice])
    except UnavailableError as error:
        raise _away(error) from None


def _with_payment(invoice: Invoice, payments: Mapping[str, InvoicePayment]) -> dict[str, Any]:
    payment = payments.get(invoice.number)
    return {**body(invoice), "payment": None if payment is None else document(payment)}


def _change(change: Change) -> dict[str, Any]:
    return {
        "invoice": change.origin,
        "metric": change.line.metric,
        "start": change.line.start,
        "end": change.line.end,
        "quantity": exact(change.quantity),
        "amount": format(change.amount, "f"),
        "events": change.line.events,
    }


def _away(error: UnavailableError, code: Code = Code.CLICKHOUSE_UNAVAILABLE) -> Problem:
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, code, str(error), headers=_RETRY)


def _invoices(request: Request) -> Invoices:
    found: Invoices = request.app.state.invoices
    return found
