"""``/v1/billing/stripe/setup``: what Stripe needs to charge by the catalog."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Request, Response

from meterline_api.access.guard import needs, refuse_unseen
from meterline_api.access.principal import Right
from meterline_api.audit.auditing import author_of
from meterline_api.billing.stripe.running import StripeJobs
from meterline_api.billing.stripe.setup_models import ANSWERS, REQUEST, SetupAnswer, SetupRequest
from meterline_api.entries import answer, document, editor_of, model_of
from meterline_api.problems import Code, Problem
from meterline_schemas.errors import MeterlineError, UnavailableError

router = APIRouter(dependencies=[needs(Right.ADMINISTER)], tags=["billing"])

_EVERYBODY = ""


@router.post(
    "/v1/billing/stripe/setup",
    response_model=SetupAnswer,
    responses=ANSWERS,
    openapi_extra=REQUEST,
    summary="Set Stripe up",
)
async def set_stripe_up(request: Request) -> Response:
    """Make what Stripe lacks to charge the tenants that it is to charge: meters, products and prices of their plans,
    customers and subscriptions. What is there is found, so that it may be repeated at any time.

    Tenants that are named get a customer and, with `billing`, are charged by Stripe from then on. What cannot be set up
    is in `problems`; the rest is done. It takes a few calls to Stripe for each tenant. For callers who reach all
    tenants.
    """
    refuse_unseen(request, _EVERYBODY)
    wish = await model_of(request, SetupRequest)
    stripe: StripeJobs = request.app.state.stripe
    try:
        found = await stripe.set_up(wish, editor_of(request), author_of(request), request.app.state.invoices.ledger)
    except UnavailableError as error:
        raise Problem(
            HTTPStatus.SERVICE_UNAVAILABLE, Code.STRIPE_UNAVAILABLE, str(error), headers={"Retry-After": "5"}
        ) from None
    except MeterlineError as error:
        raise Problem(HTTPStatus.CONFLICT, Code.CONFLICT, str(error)) from None
    return answer(document(found))
