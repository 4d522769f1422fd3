"""``/api/usage``: requirement document 2's endpoints, in its forms."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request, Response

from meterline_api.access.guard import caller, needs, refuse_unseen
from meterline_api.access.principal import Right
from meterline_api.audit.auditing import author_of
from meterline_api.document2 import forms, models
from meterline_api.document2.at_stripe import at_stripe
from meterline_api.document2.features import ALIASES
from meterline_api.document2.usage import history, named_features, running
from meterline_api.document3.definitions import named
from meterline_api.documents.instants import iso_seconds
from meterline_api.documents.period_usage import month_of
from meterline_api.documents.plan_costs import rounding_of
from meterline_api.documents.shared import (
    READS,
    TRACKS,
    DocumentRoute,
    answer,
    errors,
    find_metric,
    json_body,
    read_form,
    service_of,
    wrong,
)
from meterline_api.documents.tracking import Tracked, track
from meterline_api.entries import editor_of, fields_of
from meterline_api.opaque import opaque
from meterline_api.service import Service
from meterline_api.submissions import Submission, read_one
from meterline_schemas.catalog import Book, Quota, changes, read_entry
from meterline_schemas.event import MAX_ID
from meterline_schemas.reading import InvalidLine
from meterline_schemas.reject import Reason

router = APIRouter(route_class=DocumentRoute, tags=["document 2"])

_READ: Final = [needs(Right.READ_USAGE)]
Org = Annotated[str, Path(max_length=MAX_ID, description="The organisation: a tenant.")]
Features = Annotated[
    str | None, Query(max_length=4096, description="Features such as `OCR_SCAN,API_CALL`; by default all.")
]


@router.post(
    "/api/usage/track",
    response_model=models.TrackedModel | models.TrackedManyModel,
    responses=errors(*TRACKS),
    openapi_extra=json_body(models.TRACKING_SCHEMA, **models.TRACKING_EXAMPLES),
    summary="Track usage of a feature",
    dependencies=[needs(Right.WRITE_EVENTS)],
)
async def track_usage(request: Request) -> Response:
    """One event, or `events` of one organisation; answered when Kafka holds them and, if that takes no longer than
    `METERLINE_API_READ_BACK` seconds, when usage has them. `userId` makes it usage of the subject `user:<id>`.

    Without an `Idempotency-Key` every request counts. A key that stands for one tenant need not name it.
    """
    body = await read_form(request, forms.read_tracking)
    if isinstance(body, InvalidLine):
        await track(request, [body])  # which refuses it
        raise AssertionError
    with named({}):
        org = body.organisation or caller(request).only_tenant
    if org is None:
        raise wrong("organizationId", "is missing: this key or token does not stand for one organisation")
    service = service_of(request)
    if body.events is None:
        if body.feature is None:
            raise wrong("feature", "is missing")
        one = forms.Usage(body.feature, body.quantity, body.metadata, body.user_id, body.timestamp)
        (tracked,) = await track(request, [_submission(service, org, one)])
        return answer(_usage_event(tracked))
    if body.feature is not None or not 0 < len(body.events) <= service.settings.max_events:
        raise wrong("events", f"must be 1 to {service.settings.max_events} events, each with its own feature")
    submissions = [_submission(service, org, read_one(forms.read_usage, bytes(each))) for each in body.events]
    invalid = next(((i, each) for i, each in enumerate(submissions) if isinstance(each, InvalidLine)), None)
    if invalid is not None:
        raise wrong(f"events.{invalid[0]}", str(invalid[1]))
    return answer({"events": [_usage_event(each) for each in await track(request, submissions)]})


@router.get(
    "/api/usage/{organizationId}",
    response_model=models.CurrentUsageModel,
    responses=errors(404, 409, *READS),
    summary="Usage, quotas and overage of the running period",
    dependencies=_READ,
)
async def get_current_usage(request: Request, organizationId: Org, features: Features = None) -> Response:
    """Each feature in the period of its quota (else of its metric), used ones first; what the organisation's plan
    charges, in the plan's period and at its price. `overageAmount` is in units of `currency` and rounded once;
    `pricePerUnit` is in the smallest unit of it (cents), as the document has it.

    Of a gauge (`time_weighted`) the level counts: the latest reading. Of several currencies there is no sum:
    `totalOverageAmount` is null, and `byCurrency` has one for each. `reportedToStripe`: all that was used in the period
    is at Stripe as it is now; usage of today is not, as a day is pushed when it is over.
    """
    refuse_unseen(request, organizationId)
    service, now = service_of(request), datetime.now(UTC)
    found = await running(
        service, organizationId, named_features(service, organizationId, features), now, rounding_of(request)
    )
    found = await at_stripe(service.clickhouse, service.catalog.book, organizationId, found, now)
    start, end = month_of(service.catalog.book, organizationId, now)
    return answer(
        {
            **forms.organisation(organizationId),
            "periodStart": iso_seconds(start),
            "periodEnd": iso_seconds(end),
            "features": [forms.summary(feature) for feature in found],
            **forms.amounts((feature.cost for feature in found), "totalOverageAmount"),
        }
    )


@router.get(
    "/api/usage/{organizationId}/history",
    response_model=models.HistoryModel,
    responses=errors(404, 409, *READS),
    summary="Usage of the last periods",
    dependencies=_READ,
)
async def get_usage_history(
    request: Request,
    organizationId: Org,
    limit: Annotated[int, Query(ge=1, le=36, description="Periods, the running one among them.")] = 12,
    features: Features = None,
) -> Response:
    """Periods with usage, the latest first. A feature's periods are those of its plan or quota as it is now, at the
    price of the plan of then, or that its quota has now; of a gauge it is the mean level. `reportedToStripe` is true
    where all of the period is at Stripe as it is now: each of its days at a meter, or the items of its invoice.
    """
    refuse_unseen(request, organizationId)
    service, now = service_of(request), datetime.now(UTC)
    metrics = named_features(service, organizationId, features)
    told = await history(service, organizationId, metrics, limit, now, rounding_of(request))
    flat = [feature for _bounds, found in told for feature in found]
    reported = iter(await at_stripe(service.clickhouse, service.catalog.book, organizationId, flat, now))
    periods = [
        {
            "periodStart": iso_seconds(start),
            "periodEnd": iso_seconds(end),
            "features": [forms.summary(feature) for feature in islice(reported, len(found))],
            **forms.amounts((feature.cost for feature in found), "totalOverageAmount"),
        }
        for (start, end), found in told
    ]
    return answer({**forms.organisation(organizationId), "periods": periods})


@router.get(
    "/api/usage/{organizationId}/estimate",
    response_model=models.EstimateModel,
    responses=errors(404, 409, *READS),
    summary="What the running period will cost",
    dependencies=_READ,
)
async def estimate_usage_costs(request: Request, organizationId: Org, features: Features = None) -> Response:
    """Sums and counts go on as they did until the real end of the period; averages, extremes and levels stay as they
    are. Never below what it costs already.
    """
    refuse_unseen(request, organizationId)
    service, now = service_of(request), datetime.now(UTC)
    found = await running(
        service, organizationId, named_features(service, organizationId, features), now, rounding_of(request)
    )
    return answer(
        {
            **forms.organisation(organizationId),
            **forms.amounts((feature.projected for feature in found), "estimatedAmount"),
            "features": [forms.estimate(feature) for feature in found],
        }
    )


@router.post(
    "/api/usage/{organizationId}/quota",
    response_model=models.UsageQuotaModel,
    responses=errors(400, 404, 409, 413, 415, 503),
    openapi_extra=json_body(models.QUOTA_SCHEMA, example=models.QUOTA_EXAMPLE),
    summary="Configure what an organisation has included",
    dependencies=[needs(Right.ADMINISTER)],
)
async def configure_quota(request: Request, organizationId: Org) -> Response:
    """Make the organisation's quota of a feature, or put this one in its place. `pricePerUnit` is in the smallest unit
    of `currency` (5 is 0.05 EUR), `currency` by default EUR, `resetPeriod` by default MONTHLY.
    """
    refuse_unseen(request, organizationId)
    fields = await fields_of(request)
    feature = fields.get("feature")
    if not isinstance(feature, str):
        raise wrong("feature", "is missing" if feature is None else "must be text")
    metric = find_metric(service_of(request), organizationId, feature, ALIASES)
    with named(forms.QUOTA):
        forms.one_organisation(organizationId, fields.get("organizationId"), fields.get("organisationId"))
        entry = read_entry(Quota, forms.quota_fields(fields, organizationId, metric.key))

        def decide(book: Book) -> Quota:
            changes.check(book, entry)
            return entry

        written = await editor_of(request).put(decide, author_of(request))
    return answer(forms.usage_quota(written, opaque(written.identity), metric))


def _submission(service: Service, org: str, found: forms.Usage | InvalidLine) -> Submission | InvalidLine:
    if isinstance(found, InvalidLine):
        return found
    metric = find_metric(service, org, found.feature, ALIASES)
    subject = None if found.user_id is None else f"user:{found.user_id}"
    if subject is not None and len(subject) > MAX_ID:
        return InvalidLine(Reason.INVALID_EVENT, f"userId has more than {MAX_ID - len('user:')} characters")
    return Submission(org, metric.key, found.quantity, None, found.timestamp, subject, properties=found.metadata)


def _usage_event(tracked: Tracked) -> dict[str, Any]:
    return {
        "id": tracked.id,
        **forms.organisation(tracked.tenant_id),
        "feature": tracked.metric.upper(),
        "quantity": tracked.number,
        "metadata": tracked.properties,
        "userId": tracked.subject.removeprefix("user:") or None,
        "timestamp": iso_seconds(tracked.timestamp),
        "reportedToStripe": False,
    }
