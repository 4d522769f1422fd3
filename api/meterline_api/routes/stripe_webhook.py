"""``POST /v1/stripe/webhook``: what Stripe tells. Open to everybody: its signature says who sent it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

import msgspec
from fastapi import APIRouter, Request, Response

from meterline_api.billing.payments.desk import Desk
from meterline_api.billing.payments.events import EventError, read_event
from meterline_api.billing.payments.examples import STRIPE_EVENT, WEBHOOK_ANSWERS
from meterline_api.billing.payments.models import StripeEvent, WebhookAnswer
from meterline_api.billing.stripe.signature import HEADER, SignatureError, verify
from meterline_api.bodies import read_body
from meterline_api.examples import json_body
from meterline_api.problems import Code, Problem
from meterline_schemas.errors import UnavailableError

router = APIRouter(tags=["billing"])

MAX_BYTES: Final = 1024 * 1024  # Stripe's largest are a quarter of it
_HEADER: Final = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "When it was sent, and a signature over that and the body by each of Stripe's secrets.",
    "example": "t=1764547204,v1=5257a869e7ecebeda32affa62cdca3fa51cad7e77a0e56ff536d0ce8e108d8bd",
}


@router.post(
    "/v1/stripe/webhook",
    response_model=WebhookAnswer,
    responses=WEBHOOK_ANSWERS,
    openapi_extra={**json_body(StripeEvent, STRIPE_EVENT), "parameters": [_HEADER]},
    summary="Take an event of Stripe's",
)
async def take_stripe_event(request: Request) -> Response:
    """Register this address at Stripe, for `invoice.*` and for the thin events of meters' errors.

    It needs no API key: the signature is checked against `METERLINE_STRIPE_WEBHOOK_SECRETS`. **200** comes once what
    the event tells is written down; the same event once more changes nothing.
    """
    desk: Desk = request.app.state.payments
    body = await read_body(request, MAX_BYTES)
    try:
        verify(body, request.headers.get(HEADER, ""), desk.settings.signing_secrets, desk.settings.webhook_tolerance)
        outcome = await desk.take(read_event(body))
    except SignatureError as error:
        raise Problem(HTTPStatus.BAD_REQUEST, Code.INVALID_SIGNATURE, str(error)) from None
    except EventError as error:
        raise Problem(HTTPStatus.BAD_REQUEST, Code.INVALID_REQUEST, f"it is no event that is known: {error}") from None
    except UnavailableError as error:
        raise Problem(
            HTTPStatus.SERVICE_UNAVAILABLE, Code.NOT_READY, str(error), headers={"Retry-After": "5"}
        ) from None
    return Response(msgspec.json.encode({"outcome": outcome}), media_type="application/json")
