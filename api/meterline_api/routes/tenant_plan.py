"""``/v1/tenants/{id}/plan``: which plan a tenant is on, from when."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from meterline_api.access.guard import CHANGES, READS, refuse_unseen
from meterline_api.audit.auditing import author_of
from meterline_api.catalog_examples import TENANT_PLANS
from meterline_api.catalog_models import TenantPlanAnswer, TenantPlanWish
from meterline_api.entries import answer, closed_until_of, document, editor_of, model_of, problems
from meterline_api.routes.plans import reaches
from meterline_schemas.catalog import Book, FieldProblem, RefusedError, TenantPlan, changes, read_entry

router = APIRouter(tags=["plans"])

_PATH: Final = "/v1/tenants/{id:path}/plan"  # an id may have slashes
_WISH: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": TenantPlanWish.model_json_schema(),
                "example": {"plan": "team", "start": "2026-12-01T00:00:00Z"},
            }
        },
    }
}


@router.get(
    _PATH,
    response_model=TenantPlanAnswer,
    responses={401: TENANT_PLANS.reads[401]},
    summary="Get the plan of a tenant",
    dependencies=READS,
)
async def get_tenant_plan(request: Request, id: str) -> Response:
    """The plan that it is on now, and every span: when it was, or will be, put on which."""
    refuse_unseen(request, id)
    return _answered(editor_of(request).catalog.book.tenant_plan(id))


@router.put(
    _PATH,
    response_model=TenantPlanAnswer,
    responses={status: each for status, each in TENANT_PLANS.changes.items() if status != 404},
    openapi_extra=_WISH,
    summary="Put a tenant on a plan",
    dependencies=CHANGES,
)
async def put_tenant_plan(request: Request, id: str) -> Response:
    """Put it on a plan from `start` on, by default now; whatever was to follow from then on is taken back.

    In the midst of a period each part of it is charged as its plan says. **409** `meaning_would_change`: `start` lies
    in a period that is invoiced.
    """
    refuse_unseen(request, id)
    wish = await model_of(request, TenantPlanWish)

    def decide(book: Book) -> TenantPlan:
        if wish.plan is not None and (book.plan(wish.plan) is None or not reaches(request, book, wish.plan)):
            detail = f"there is no plan {wish.plan!r}; define it first"
            raise RefusedError("invalid", [FieldProblem("plan", detail)])
        start = wish.start or datetime.now(UTC).replace(microsecond=0)
        spans = book.tenant_plan(id).changed(start, wish.plan)
        entry = read_entry(TenantPlan, {"tenant_id": id, "spans": [dict(span) for span in spans]})
        changes.check(book, entry, closed_until=closed_until_of(request))
        return entry

    with problems():
        return _answered(await editor_of(request).put(decide, author_of(request)))


def _answered(found: TenantPlan) -> Response:
    return answer(document(TenantPlanAnswer.of(found, datetime.now(UTC))))
