"""``/v1/keys``: who may call; and ``/v1/caller``: as whom one does."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Path, Request, Response

from meterline_api.access.guard import caller, needs
from meterline_api.access.keys import hash_of, new_key
from meterline_api.access.models import CallerAnswer, KeyAnswer, NewKey, NewKeyAnswer
from meterline_api.access.principal import Right
from meterline_api.catalog_examples import KEYS
from meterline_api.catalog_models import Page
from meterline_api.entries import Entries, answer, document, model_of
from meterline_api.examples import json_body
from meterline_api.problems import Code, Problem
from meterline_api.routes.parameters import Cursor, Limit
from meterline_schemas.catalog import ApiKey

router = APIRouter(tags=["access"])
ENTRIES = Entries(ApiKey, KeyAnswer.of)

_ADMIN: Final = [needs(Right.ADMINISTER)]
_Id = Annotated[str, Path(max_length=100)]


@router.get(
    "/v1/caller",
    response_model=CallerAnswer,
    summary="Who calls, and what they may",
    dependencies=[needs(None)],
)
async def get_caller(request: Request) -> Response:
    """The role, tenants and rights of the key or token that the request carries."""
    return answer(document(CallerAnswer.of(caller(request))))


@router.get(
    "/v1/keys", response_model=Page[KeyAnswer], responses=KEYS.reads, summary="List API keys", dependencies=_ADMIN
)
async def list_keys(request: Request, limit: Limit = 100, cursor: Cursor = None) -> Response:
    """All keys in the order of their ids, those that were revoked or have expired too."""
    return ENTRIES.page(request, limit, cursor)


@router.get(
    "/v1/keys/{id}", response_model=KeyAnswer, responses=KEYS.read, summary="Get an API key", dependencies=_ADMIN
)
async def get_key(request: Request, id: _Id) -> Response:
    """One key, without its secret."""
    return ENTRIES.one(request, id)


@router.post(
    "/v1/keys",
    status_code=201,
    response_model=NewKeyAnswer,
    responses=KEYS.changes,
    openapi_extra=json_body(NewKey, {"name": "orders service", "role": "producer", "tenants": ["acme"]}),
    summary="Make an API key",
    dependencies=_ADMIN,
)
async def create_key(request: Request) -> Response:
    """Make a key. This answer is the only one that shows it: of the key itself only a hash is kept.

    It is valid in this process when it is answered, and in others about a tenth of a second later.
    """
    asked = await model_of(request, NewKey)
    if asked.expires_at is not None and asked.expires_at <= datetime.now(UTC):
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            Code.INVALID_REQUEST,
            "expires_at: has passed already; leave it out for a key that does not expire",
            errors=[{"field": "expires_at", "detail": "has passed already"}],
        )
    key = new_key()
    pepper: bytes = request.app.state.pepper
    made = {"id": key.id, "hash": hash_of(key.secret, pepper), "created_by": caller(request).actor[:1000]}
    written = await ENTRIES.create(request, {**asked.model_dump(), **made})
    body = NewKeyAnswer(**KeyAnswer.of(written).model_dump(), key=str(key))
    return answer(document(body), HTTPStatus.CREATED, {"Cache-Control": "no-store"})


@router.delete(
    "/v1/keys/{id}",
    status_code=204,
    responses=KEYS.deletes,
    summary="Revoke an API key",
    dependencies=_ADMIN,
)
async def revoke_key(request: Request, id: _Id) -> Response:
    """Refuse a key from now on, in every process within a second; it stays listed."""
    if ENTRIES.get(request, id).revoked_at is None:
        await ENTRIES.change(request, id, {"revoked_at": datetime.now(UTC)})
    return Response(status_code=HTTPStatus.NO_CONTENT)
