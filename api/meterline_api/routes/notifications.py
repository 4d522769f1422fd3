"""``/v1/notifications``: what was told, to whom, how that went; and telling it once more."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Query, Request, Response
from pydantic import AwareDatetime

from meterline_api.access.guard import caller, needs, tenants_of
from meterline_api.access.principal import Right
from meterline_api.audit.auditing import audit
from meterline_api.bodies import read_body
from meterline_api.catalog_models import Page
from meterline_api.entries import answer, document
from meterline_api.fields import FieldsError, read_fields
from meterline_api.notifications.desk import Desk, NobodyError
from meterline_api.notifications.examples import LIST, ONE, RESEND, RESEND_REQUEST
from meterline_api.notifications.listing import ListQuery, read_cursor
from meterline_api.notifications.models import (
    MAX_TARGET,
    DeliveryAnswer,
    NotificationAnswer,
    NotificationDetail,
    ResendAnswer,
)
from meterline_api.problems import Code, Problem
from meterline_api.routes.parameters import Cursor, Limit, OfMetric, OfTenant
from meterline_api.service import Service
from meterline_schemas.catalog import Webhook
from meterline_schemas.errors import UnavailableError
from meterline_schemas.notification import Type

router = APIRouter(dependencies=[needs(Right.READ_USAGE)], tags=["notifications"])

_MAX_BYTES: Final = 4096
_KINDS: Final = ("webhook", "email")


@router.get("/v1/notifications", response_model=Page[NotificationAnswer], responses=LIST, summary="List what was told")
async def list_notifications(
    request: Request,
    type: Annotated[Type | None, Query(description="Only of this type.")] = None,
    tenant_id: OfTenant = None,
    metric: OfMetric = None,
    start: Annotated[AwareDatetime | None, Query(alias="from", description="From this instant on.")] = None,
    end: Annotated[AwareDatetime | None, Query(alias="to", description="Before this instant.")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """Notifications, the newest first. One is listed about a second after it was sent."""
    after = None if cursor is None else read_cursor(cursor)
    if cursor is not None and after is None:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            Code.INVALID_CURSOR,
            "cursor is none that this server gave; start again without one",
        )
    query = ListQuery(type, tenants_of(request, tenant_id), metric, start, end, limit, after)
    try:
        found, following = await _desk(request).page(query)
    except UnavailableError as error:
        raise _unavailable(Code.CLICKHOUSE_UNAVAILABLE, error) from None
    body: dict[str, Any] = {"data": [document(each) for each in found]}
    return answer(body if following is None else {**body, "next_cursor": following})


@router.get(
    "/v1/notifications/{id}", response_model=NotificationDetail, responses=ONE, summary="Who was told, and how it went"
)
async def get_notification(request: Request, id: str) -> Response:
    """One notification with everything that was told, each target that was to be told, and every attempt.

    The deliveries of about the newest 100,000 notifications are known; of an older one `note` says that they are not.
    """
    desk = _desk(request)
    try:
        told = await desk.find(id)
    except UnavailableError as error:
        raise _unavailable(Code.CLICKHOUSE_UNAVAILABLE, error) from None
    if told is None or not caller(request).sees(told.answer.tenant_id):
        raise _not_found(id)
    fate = desk.fate(id, told.answer.timestamp)
    body = {
        **document(told.answer),
        "data": msgspec.Raw(told.data.encode()),  # as it was sent: a number in it keeps its digits
        "deliveries": [document(DeliveryAnswer.of(each)) for each in fate.deliveries],
    }
    return answer(body if fate.note is None else {**body, "note": fate.note})


@router.post(
    "/v1/notifications/{id}/resend",
    status_code=202,
    response_model=ResendAnswer,
    responses=RESEND,
    openapi_extra=RESEND_REQUEST,
    summary="Tell it once more",
    dependencies=[needs(Right.ADMINISTER)],
)
async def resend_notification(request: Request, id: str) -> Response:
    """Deliver a notification once more: to one `target`, or to all that were to be told.

    **202**: the request is written down, and the notifier carries it out when it runs; `GET` says how it went. The
    `webhook-id` stays the same. A webhook that was not told before may be the target; an address may not.
    """
    target = await _target(request)
    desk = _desk(request)
    try:
        await _refuse_unreached(request, id, target)
        home = await desk.home(id, target)
    except NobodyError as error:
        raise (_wrong("target", str(error)) if error.of_target else _nothing(error)) from None
    except UnavailableError as error:
        raise _unavailable(Code.CLICKHOUSE_UNAVAILABLE, error) from None
    if home is None:
        raise _not_found(id)
    await audit(request, "notification.resent", "notification", id, details={"target": target})
    try:
        written = await desk.resend(home, id, target)
    except UnavailableError as error:
        raise _unavailable(Code.KAFKA_UNAVAILABLE, error) from None
    return answer(document(ResendAnswer(id=written.id, notification_id=id, target=written.target)), HTTPStatus.ACCEPTED)


def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.notifications
    return desk


async def _refuse_unreached(request: Request, id: str, target: str) -> None:
    """Refuse a notification or a webhook of a tenant that the caller does not reach, as one that is not there.

    Raises:
        Problem: 404; 422 for the webhook.
        UnavailableError: whose it is cannot be told.
    """
    principal = caller(request)
    if principal.tenants is None:
        return
    tenant_id = await _desk(request).whose(id)
    if tenant_id is None or not principal.sees(tenant_id):
        raise _not_found(id)
    kind, _, name = target.partition("/")
    service: Service = request.app.state.service
    webhook = service.catalog.find(Webhook, name) if kind == "webhook" else None
    if webhook is not None and webhook.tenant_id and not principal.sees(webhook.tenant_id):
        raise _wrong("target", f"{target!r} was not told of it and is no webhook")


async def _target(request: Request) -> str:
    """The target that the body names, or nothing. Raises Problem where it is none."""
    body = await read_body(request, _MAX_BYTES)
    try:
        fields = read_fields(body) if body.strip() else {}
    except FieldsError as error:
        raise Problem(HTTPStatus.BAD_REQUEST, Code.INVALID_JSON, str(error)) from None
    for name in fields:
        if name != "target":
            raise _wrong(name, "is no field of this; only target is")
    target = fields.get("target")
    if target is None:
        return ""
    kind, _, name = target.partition("/") if isinstance(target, str) else ("", "", "")
    if kind not in _KINDS or not name or len(target) > MAX_TARGET:
        raise _wrong("target", "write it like webhook/<id> or email/<address>, or leave it out for all")
    return str(target)


def _wrong(field: str, detail: str) -> Problem:
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        Code.INVALID_REQUEST,
        f"{field[:100]}: {detail}",
        errors=[{"field": field[:100], "detail": detail}],
    )


def _nothing(error: NobodyError) -> Problem:
    return Problem(HTTPStatus.CONFLICT, Code.CONFLICT, str(error))


def _not_found(id: str) -> Problem:
    return Problem(
        HTTPStatus.NOT_FOUND,
        Code.NOT_FOUND,
        f"there is no notification {id[:300]!r}; one that was just sent is found a moment later",
    )


def _unavailable(code: Code, error: UnavailableError) -> Problem:
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, code, str(error), headers={"Retry-After": "5"})
