"""``GET /v1/exports/…`` for finance: documents, their lines and the journal, as they were at an instant."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import AwareDatetime

from meterline_api.access.guard import needs, tenants_of
from meterline_api.access.principal import Right
from meterline_api.audit.auditing import audit
from meterline_api.billing.exporting import openapi
from meterline_api.billing.exporting.as_of import AsOf, AsOfError, read_as_of
from meterline_api.billing.exporting.asked import Asked, Sources
from meterline_api.billing.exporting.kinds import ACCRUALS, EXCEPTIONS, INVOICES, JOURNAL, LINES, PUSHES, Kind
from meterline_api.billing.exporting.ledger import STATES
from meterline_api.billing.exporting.pull import Pull, settled
from meterline_api.by_catalog import BY_CATALOG
from meterline_api.exports.body import ChangedError
from meterline_api.exports.bounds import BoundsError, bounded
from meterline_api.exports.download import Download, begun
from meterline_api.formats.answer import following, headers_of
from meterline_api.formats.chosen import format_of
from meterline_api.formats.packing import encoding_of
from meterline_api.formats.table import Format
from meterline_api.problems import Code, Problem
from meterline_api.routes.exports import AS_OF
from meterline_schemas.billing.push import PushState
from meterline_schemas.errors import UnavailableError
from meterline_schemas.event import MAX_ID

_MOST: Final = 10_000
_OFFSETS: Final = 2**63 - 1
router = APIRouter(prefix="/v1/exports", tags=["exports"], dependencies=[needs(Right.MANAGE_FINANCE)])

_Format = Annotated[Format, format_of(Format.CSV, Format.NDJSON, Format.PARQUET, Format.JSON)]
_AsOf = Annotated[
    str | None,
    Query(
        max_length=8192,
        description="As it was then: an instant, or `Meterline-As-Of` of an earlier answer for the same bytes again.",
    ),
]
_Since = Annotated[
    str | None, Query(max_length=8192, description="Only what changed since: `Meterline-As-Of` of the last pull.")
]
_From = Annotated[AwareDatetime | None, Query(alias="from", description="Documents whose period starts then or later.")]
_To = Annotated[AwareDatetime | None, Query(alias="to", description="Documents whose period starts before.")]
_Tenant = Annotated[str | None, Query(min_length=1, max_length=MAX_ID)]
_Currency = Annotated[str | None, Query(pattern="^[A-Z]{3}$", description="ISO 4217 code.")]
_Status = Annotated[
    str | None, Query(pattern=f"^({'|'.join(STATES)})$", description="Only documents of it: `closed` or `void`.")
]
_Limit = Annotated[
    int | None, Query(ge=1, le=_MOST, description="A page of so many documents; without it all of them.")
]
_Cursor = Annotated[
    int | None, Query(ge=0, le=_OFFSETS, description="What follows a page: as `Link` and `next_cursor` have it.")
]


@dataclass(frozen=True)
class _Wanted:
    asked: Asked
    as_of: str | None
    since: str | None
    tenant_id: str | None


def _wanted(
    request: Request,
    tenant_id: _Tenant = None,
    start: _From = None,
    end: _To = None,
    currency: _Currency = None,
    status: _Status = None,
    as_of: _AsOf = None,
    since: _Since = None,
    limit: _Limit = None,
    cursor: _Cursor = None,
) -> _Wanted:
    tenants = tenants_of(request, tenant_id)
    if since is not None and status is not None:
        raise _wrong(
            Code.INVALID_REQUEST, "status changes: with since leave it out, and take the column or the credit notes"
        )
    try:
        first, last = bounded(start), bounded(end)
        if first is not None and last is not None and first >= last:
            raise BoundsError("from must be before to")
    except BoundsError as error:
        raise _wrong(Code.INVALID_RANGE, str(error)) from None
    after = -1 if cursor is None else cursor
    asked = Asked(AsOf(datetime.now(UTC)), tenants, first, last, currency, status, after=after, limit=limit)
    return _Wanted(asked, as_of, since, tenant_id)


def _pushes(
    request: Request,
    tenant_id: _Tenant = None,
    start: Annotated[AwareDatetime | None, Query(alias="from", description="Days from then on, in UTC.")] = None,
    end: Annotated[AwareDatetime | None, Query(alias="to", description="Days before.")] = None,
    status: Annotated[PushState | None, Query(description="Only pushes of it.")] = None,
    as_of: _AsOf = None,
    since: _Since = None,
    limit: _Limit = None,
    cursor: _Cursor = None,
) -> _Wanted:
    return _wanted(request, tenant_id, start, end, None, status, as_of, since, limit, cursor)


def _accruals(request: Request, tenant_id: _Tenant = None, currency: _Currency = None, as_of: _AsOf = None) -> _Wanted:
    return _wanted(request, tenant_id, currency=currency, as_of=as_of)


def _exceptions(
    request: Request,
    tenant_id: _Tenant = None,
    start: Annotated[
        AwareDatetime | None,
        Query(alias="from", description="Usage from then on; by default from the beginning of the last month."),
    ] = None,
) -> _Wanted:
    return _wanted(request, tenant_id, start)


_Ledger = Annotated[_Wanted, Depends(_wanted)]


@router.get("/invoices", response_class=Response, responses=openapi.answers(INVOICES), summary=INVOICES.about)
async def export_invoices(request: Request, format: _Format, wanted: _Ledger) -> Response:
    """In the order in which they were issued, with the status of `as_of`.

    With `since`, what was issued since, and again each invoice that was taken back since: a row replaces the one of
    the same number.
    """
    return await _export(request, INVOICES, wanted, format)


@router.get("/invoice-lines", response_class=Response, responses=openapi.answers(LINES), summary=LINES.about)
async def export_invoice_lines(request: Request, format: _Format, wanted: _Ledger) -> Response:
    """Those of a document together, in its order; they sum to its total."""
    return await _export(request, LINES, wanted, format)


@router.get("/journal", response_class=Response, responses=openapi.answers(JOURNAL), summary=JOURNAL.about)
async def export_journal(request: Request, format: _Format, wanted: _Ledger) -> Response:
    """Two rows for each line of a document with an amount: receivables against revenue by charge and metric.

    What a credit note takes back, and an adjustment below zero, has debit and credit the other way round.
    """
    return await _export(request, JOURNAL, wanted, format)


@router.get("/stripe-pushes", response_class=Response, responses=openapi.answers(PUSHES), summary=PUSHES.about)
async def export_stripe_pushes(
    request: Request, format: _Format, wanted: Annotated[_Wanted, Depends(_pushes)]
) -> Response:
    """The last push of each customer, meter and day, in the order in which they were made.

    A later push of a day takes the place of the one before: with `since`, put rows in the place of those of the same
    customer, meter and day. As of a moment after which something of the range was pushed again it is refused.
    """
    return await _export(request, PUSHES, wanted, format)


@router.get(
    "/accruals",
    response_class=Response,
    responses=openapi.answers(ACCRUALS),
    dependencies=[BY_CATALOG],
    summary=ACCRUALS.about,
)
async def export_accruals(
    request: Request, format: _Format, wanted: Annotated[_Wanted, Depends(_accruals)]
) -> Response:
    """`as_of` is the cut-off, a whole second, and only events count that had come by then. By default now."""
    return await _export(request, ACCRUALS, wanted, format)


@router.get(
    "/exceptions",
    response_class=Response,
    responses=openapi.answers(EXCEPTIONS),
    dependencies=[BY_CATALOG],
    summary=EXCEPTIONS.about,
)
async def export_exceptions(
    request: Request, format: _Format, wanted: Annotated[_Wanted, Depends(_exceptions)]
) -> Response:
    """All of `GET /v1/billing/exceptions`, as they are now."""
    return await _export(request, EXCEPTIONS, wanted, format)


async def _export(request: Request, kind: Kind, wanted: _Wanted, format: Format) -> Response:
    """
    Raises:
        Problem: what is wrong with the request; 503 where ClickHouse does not answer.
    """
    sources: Sources = request.app.state.exporting.sources
    try:
        pull = await _pull(sources, kind, wanted, format)
        headers = _headers(request, pull)
        if pull.etag is not None and _is_known(request, pull.etag):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        pieces = await begun(pull.pieces())
    except AsOfError as error:
        raise _wrong(Code.INVALID_REQUEST, str(error)) from None
    except ChangedError:
        raise Problem(
            HTTPStatus.PRECONDITION_FAILED,
            Code.EXPORT_CHANGED,
            "something of the range was pushed again after that moment; pull it as it is now, or what changed since",
        ) from None
    except UnavailableError as error:
        raise Problem(
            HTTPStatus.SERVICE_UNAVAILABLE, Code.CLICKHOUSE_UNAVAILABLE, str(error), headers={"Retry-After": "5"}
        ) from None
    details: dict[str, Any] = {"filters": dict(pull.asked.filters), "format": format, "as_of": str(pull.asked.as_of)}
    if pull.asked.since is not None:
        details["since"] = str(pull.asked.since)
    await audit(request, "export.generated", kind.name, tenant_id=wanted.tenant_id or "", details=details)
    encoding = "" if format is Format.PARQUET else encoding_of(",".join(request.headers.getlist("accept-encoding")))
    return Download(pieces, HTTPStatus.OK, headers, format.content_type, encoding)


async def _pull(sources: Sources, kind: Kind, wanted: _Wanted, format: Format) -> Pull:
    now = datetime.now(UTC)
    as_of = await settled(kind, sources, _read(wanted.as_of, kind, "as_of"), now)
    since = _read(wanted.since, kind, "since")
    if since is not None:
        since = await settled(kind, sources, since, now)
    asked = replace(wanted.asked, as_of=as_of, since=since, fixed=wanted.as_of is not None)
    return Pull(kind, sources, asked, format, await kind.next_page(sources, asked))


def _read(text: str | None, kind: Kind, name: str) -> AsOf | None:
    return None if text is None else read_as_of(text, kind.ledger, name)


def _headers(request: Request, pull: Pull) -> dict[str, str]:
    as_of = str(pull.asked.as_of)
    link = None
    if pull.following is not None:
        link = following(request, as_of=as_of, cursor=str(pull.following))
    headers = {
        **headers_of(f"{pull.kind.name}_{pull.asked.as_of.at:%Y-%m-%dT%H%M%SZ}", pull.format, link),
        "Vary": "Accept, Accept-Encoding",
        "Cache-Control": "private",
        AS_OF: as_of,
    }
    return headers if pull.etag is None else headers | {"ETag": pull.etag}


def _is_known(request: Request, tag: str) -> bool:
    known = {each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")}
    return tag in known


def _wrong(code: Code, why: str) -> Problem:
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, code, why)
