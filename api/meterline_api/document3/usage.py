"""The document's usage.get, usage.getSummary and usage.export: from the same queries as ``GET /v1/usage``."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal

import msgspec
from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from meterline_api.access.guard import tenants_of
from meterline_api.document3 import forms
from meterline_api.document3.definitions import arguments, named
from meterline_api.documents.shared import answer
from meterline_api.models import UsageAnswer, UsageRow
from meterline_api.problems import Code, Problem
from meterline_api.routes.usage import instant_of, range_of, usage_of
from meterline_api.service import Service
from meterline_api.usage.query import Dimension, UsageQuery, Window, read_cursor
from meterline_schemas.catalog import RefusedError
from meterline_schemas.catalog.entry import AnyCase, problems_of
from meterline_schemas.periods import Calendar, Period

PeriodType = Annotated[Literal["hourly", "daily", "monthly"], AnyCase]

_WINDOWS: Final = {"hourly": Window.HOUR, "daily": Window.DAY, "monthly": Window.MONTH}
_PAGE: Final = 1000
_COLUMNS: Final = (
    "id", "metricKey", "subjectType", "subjectId", "orgId", "periodType", "periodStart", "periodEnd", "totalQuantity",
    "recordCount",
)  # fmt: skip


class _Asked(BaseModel):
    """What a query is asked with; ``scope`` is our tenant and subject."""

    model_config = ConfigDict(extra="forbid")

    subjectType: str | None = None
    subjectId: str | None = None
    orgId: str | None = None

    @property
    def scope(self) -> tuple[str, str]:
        return forms.scope(self.model_dump(include=set(forms.SUBJECT)))


class _OfPeriod(_Asked):
    metricKey: str
    periodType: PeriodType
    periodStart: AwareDatetime | None = None


class _OfRange(_Asked):
    metricKey: str | None = None
    start: Annotated[AwareDatetime | None, Field(alias="from")] = None
    end: Annotated[AwareDatetime | None, Field(alias="to")] = None


class _Exported(_OfRange):
    periodType: PeriodType = "daily"
    format: Annotated[Literal["ndjson", "csv"], AnyCase] = "ndjson"


async def get_usage(request: Request) -> Response:
    """Usage of a subject, one row for each metric, over a range (by default this month up to now)."""
    fields = await arguments(request)
    with named({}):
        asked = _read(_OfRange, fields)
        tenant_id, subject = asked.scope
    service, now = _service(request), datetime.now(UTC)
    _known(service, asked.metricKey)
    start, end = range_of(asked.start, asked.end, now)
    query = UsageQuery(start, end, None, tenants_of(request, tenant_id), asked.metricKey, subject or None, limit=10_000)
    found = await usage_of(service, query, now)
    rows = [_row(row, tenant_id, subject) for row in found.data]
    return answer({"periodStart": forms.instant(start), "periodEnd": forms.instant(end), "usage": rows})


async def get_summary(request: Request) -> Response:
    """The UsageSummary of the hour, day or month (in UTC) that ``periodStart`` lies in, by default now."""
    fields = await arguments(request)
    with named({}):
        asked = _read(_OfPeriod, fields)
        tenant_id, subject = asked.scope
    service, now = _service(request), datetime.now(UTC)
    _known(service, asked.metricKey)
    period = Calendar(Period(asked.periodType)).bounds(instant_of(asked.periodStart or now))
    start, end = range_of(*period, now)
    query = UsageQuery(start, end, None, tenants_of(request, tenant_id), asked.metricKey, subject or None, limit=1)
    found = await usage_of(service, query, now)
    metric = service.catalog.book.metrics[asked.metricKey]
    row = found.data[0] if found.data else None
    return answer(
        {
            "id": _summary_id(asked.metricKey, tenant_id, subject, asked.periodType, start),
            "metricKey": asked.metricKey,
            **forms.subject(tenant_id, subject),
            "periodType": asked.periodType.upper(),
            "periodStart": forms.instant(start),
            "periodEnd": forms.instant(end),
            "totalQuantity": forms.total(row.value if row else None, metric.aggregation),
            "recordCount": row.count if row else 0,
        }
    )


async def export(request: Request) -> Response:
    """UsageSummaries of every period of a range, of one subject or of all organisations, a page at a time."""
    fields = await arguments(request)
    with named({}):
        asked = _read(_Exported, fields)
        whose = asked.scope if asked.subjectType is not None or asked.subjectId is not None else (asked.orgId, "")
    service, now = _service(request), datetime.now(UTC)
    _known(service, asked.metricKey)
    start, end = range_of(asked.start, asked.end, now)
    tenant_id, subject = whose
    query = UsageQuery(
        start,
        end,
        _WINDOWS[asked.periodType],
        tenants_of(request, tenant_id),
        asked.metricKey,
        subject or None,
        group_by=(Dimension.TENANT_ID,),
        limit=_PAGE,
    )
    first = await usage_of(service, query, now)  # what is wrong is answered before the first byte
    write = _csv if asked.format == "csv" else _ndjson

    async def pages() -> AsyncIterator[bytes]:
        page: UsageAnswer = first
        yield write(_summaries(page, asked.periodType, subject), header=True)
        while page.next_cursor is not None:
            page = await usage_of(service, replace(query, after=read_cursor(page.next_cursor, query)), now)
            yield write(_summaries(page, asked.periodType, subject), header=False)

    media_type = "text/csv; charset=utf-8" if asked.format == "csv" else "application/x-ndjson"
    disposition = {"Content-Disposition": f'attachment; filename="usage.{asked.format}"'}
    return StreamingResponse(pages(), media_type=media_type, headers=disposition)


def _summaries(page: UsageAnswer, period: str, subject: str) -> Iterator[dict[str, Any]]:
    for row in page.data:
        tenant_id = row.tenant_id or ""
        yield {
            "id": _summary_id(row.metric, tenant_id, subject, period, row.start),
            "metricKey": row.metric,
            **forms.subject(tenant_id, subject),
            "periodType": period.upper(),
            "periodStart": forms.instant(row.start),
            "periodEnd": forms.instant(row.end),
            "totalQuantity": forms.total(row.value, row.aggregation),
            "recordCount": row.count,
        }


def _row(row: UsageRow, tenant_id: str, subject: str) -> dict[str, Any]:
    return {
        "metricKey": row.metric,
        **forms.subject(tenant_id, subject),
        "totalQuantity": forms.total(row.value, row.aggregation),
        "recordCount": row.count,
    }


def _ndjson(summaries: Iterator[dict[str, Any]], *, header: bool) -> bytes:
    return b"".join(msgspec.json.encode(summary) + b"\n" for summary in summaries)


def _csv(summaries: Iterator[dict[str, Any]], *, header: bool) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, _COLUMNS, restval="")
    if header:
        writer.writeheader()
    for summary in summaries:
        total = summary["totalQuantity"]
        writer.writerow({**summary, "totalQuantity": "" if total is None else bytes(total).decode()})
    return out.getvalue().encode()


def _summary_id(metric: str, tenant_id: str, subject: str, period: str, start: datetime) -> str:
    """The same for the same summary, whenever it is asked for."""
    parts = msgspec.json.encode([metric, tenant_id, subject, period, forms.instant(start)])
    return f"sum_{hashlib.blake2b(parts, digest_size=12).hexdigest()}"


def _read(kind: type[Any], fields: dict[str, Any]) -> Any:
    try:
        return kind.model_validate(fields)
    except ValidationError as invalid:
        names = [field.alias or name for name, field in kind.model_fields.items()]
        raise RefusedError("invalid", problems_of(invalid, names)) from None


def _known(service: Service, metric: str | None) -> None:
    if metric is not None and service.catalog.metric(metric) is None:
        raise Problem(HTTPStatus.NOT_FOUND, Code.UNKNOWN_METRIC, f"metric {metric!r} is not defined")


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service
