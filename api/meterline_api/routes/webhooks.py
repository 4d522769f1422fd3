"""``/v1/webhooks``: addresses that notifications are sent to."""

from __future__ import annotations

import base64
import secrets
import uuid
from http import HTTPStatus
from typing import Final

from fastapi import APIRouter, Request, Response

from meterline_api.access.guard import needs, refuse_unseen_filter
from meterline_api.access.principal import Right
from meterline_api.catalog_examples import WEBHOOKS
from meterline_api.catalog_models import NewWebhookAnswer, Page, WebhookAnswer
from meterline_api.entries import Entries, answer, document, fields_of
from meterline_api.routes.parameters import Cursor, Limit, OfTenant
from meterline_schemas.catalog import Webhook
from meterline_schemas.catalog.webhook import SECRET_PREFIX

router = APIRouter(dependencies=[needs(Right.ADMINISTER)], tags=["webhooks"])
ENTRIES = Entries(Webhook, WebhookAnswer.of)

_SECRET_BYTES: Final = 32


@router.get("/v1/webhooks", response_model=Page[WebhookAnswer], responses=WEBHOOKS.reads, summary="List webhooks")
async def list_webhooks(
    request: Request, tenant_id: OfTenant = None, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """All webhooks in the order of their ids, without their secrets."""
    refuse_unseen_filter(request, tenant_id)
    return ENTRIES.page(request, limit, cursor, lambda webhook: tenant_id in (None, webhook.tenant_id))


@router.get("/v1/webhooks/{id}", response_model=WebhookAnswer, responses=WEBHOOKS.read, summary="Get a webhook")
async def get_webhook(request: Request, id: str) -> Response:
    """One webhook, without its secret."""
    return ENTRIES.one(request, id)


@router.post(
    "/v1/webhooks",
    status_code=201,
    response_model=NewWebhookAnswer,
    responses=WEBHOOKS.changes,
    openapi_extra=WEBHOOKS.whole,
    summary="Create a webhook",
)
async def create_webhook(request: Request) -> Response:
    """Create a webhook, with an `id` and a `secret` of your own or ones that are made here.

    This answer is the only one that shows the secret. Calls are signed with it as Standard Webhooks says.
    """
    made = {"id": f"wh_{uuid.uuid4().hex[:12]}", "secret": _new_secret()}
    written = await ENTRIES.create(request, {**made, **await fields_of(request)})
    return answer(document(NewWebhookAnswer(**written.model_dump())), HTTPStatus.CREATED)


@router.patch(
    "/v1/webhooks/{id}",
    response_model=WebhookAnswer,
    responses=WEBHOOKS.changes,
    openapi_extra=WEBHOOKS.part,
    summary="Change a webhook",
)
async def change_webhook(request: Request, id: str) -> Response:
    """Change the fields that are given; `secret` as well, which is not shown."""
    return await ENTRIES.update(request, id, await fields_of(request))


@router.delete("/v1/webhooks/{id}", status_code=204, responses=WEBHOOKS.deletes, summary="Delete a webhook")
async def delete_webhook(request: Request, id: str) -> Response:
    """Delete a webhook. **409** `in_use`: a threshold names it."""
    return await ENTRIES.delete(request, id)


def _new_secret() -> str:
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()
