"""``/v1/billing/runs``: what billing's jobs did, and having one done."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import AwareDatetime

from meterline_api.access.guard import needs, refuse_unseen
from meterline_api.access.principal import Right
from meterline_api.audit.auditing import author_of
from meterline_api.billing.jobs.due import LOOK_BACK, latest
from meterline_api.billing.jobs.errors import JobBusyError, JobMissingError
from meterline_api.billing.jobs.examples import BEGIN, LIST, ONE, REQUEST
from meterline_api.billing.jobs.ledger import Runs
from meterline_api.billing.jobs.listing import page, read_cursor
from meterline_api.billing.jobs.models import DryRunAnswer, RunAnswer, RunRequest
from meterline_api.billing.jobs.running import Jobs
from meterline_api.catalog_models import Page
from meterline_api.entries import answer, document, model_of
from meterline_api.problems import Code, Problem
from meterline_api.routes.parameters import Cursor, Limit
from meterline_api.storage.thread import in_thread
from meterline_schemas.billing.run import Job, RunState
from meterline_schemas.errors import MeterlineError, UnavailableError

router = APIRouter(prefix="/v1/billing/runs", dependencies=[needs(Right.MANAGE_FINANCE)], tags=["billing"])

_EVERYBODY = ""  # a run is about all tenants


@router.get("", response_model=Page[RunAnswer], responses=LIST, summary="List runs of billing's jobs")
async def list_billing_runs(
    request: Request,
    job: Annotated[Job | None, Query(description="Only of this job.")] = None,
    state: Annotated[RunState | None, Query(description="Only those in this state.")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """Runs of the last 400 days, the last instant first. For callers who reach all tenants."""
    refuse_unseen(request, _EVERYBODY)
    after = None if cursor is None else read_cursor(cursor)
    if cursor is not None and after is None:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            Code.INVALID_CURSOR,
            "cursor is none that this server gave; start again without one",
        )
    runs = await _read(request)
    shown = [_jobs(request).ledger.shown(run) for of_job in runs.values() for run in of_job.values()]
    found, following = page(shown, job, state, limit, after)
    body: dict[str, Any] = {"data": [document(RunAnswer.of(run)) for run in found]}
    return answer(body if following is None else {**body, "next_cursor": following})


@router.get("/{job}/{due}", response_model=RunAnswer, responses=ONE, summary="Get a run of one of billing's jobs")
async def get_billing_run(
    request: Request,
    job: Annotated[str, Path(json_schema_extra={"enum": [*Job]})],
    due: Annotated[AwareDatetime, Path(description="The instant that it was due at.")],
) -> Response:
    """One run. For callers who reach all tenants."""
    refuse_unseen(request, _EVERYBODY)
    runs, instant = await _read(request), _second(due)
    run = runs[Job(job)].get(instant) if job in [*Job] else None
    if run is None:
        raise Problem(HTTPStatus.NOT_FOUND, Code.NOT_FOUND, f"{job[:100]} was not run for {instant.isoformat()}")
    return answer(document(RunAnswer.of(_jobs(request).ledger.shown(run))))


@router.post(
    "",
    status_code=202,
    response_model=RunAnswer,
    responses=BEGIN,
    openapi_extra=REQUEST,
    summary="Have one of billing's jobs done",
)
async def begin_billing_run(request: Request) -> Response:
    """Have a job done for an instant; the same request again gives the same run, and a run that failed is done anew.

    **202**: the run, which this server has begun unless it is done, or being done, already; `GET` says how it goes.
    **200**: with `dry_run`, what would be done. For callers who reach all tenants; the audit log says who began it.
    """
    refuse_unseen(request, _EVERYBODY)
    asked = await model_of(request, RunRequest)
    jobs = _jobs(request)
    try:
        jobs.runner.function(asked.job)
        due = _due(asked, jobs, datetime.now(UTC))
        if asked.dry_run:
            outcome = await jobs.runner.dry_run(asked.job, due)
            return answer(document(DryRunAnswer.of(asked.model_copy(update={"due": due}), outcome)))
        run = await jobs.runner.begin(asked.job, due, author_of(request))
    except (JobMissingError, JobBusyError) as error:
        raise Problem(HTTPStatus.CONFLICT, Code.CONFLICT, str(error)) from None
    except UnavailableError as error:
        raise _unavailable(error) from None
    except MeterlineError as error:
        raise Problem(HTTPStatus.CONFLICT, Code.CONFLICT, f"nothing would come of it: {error}") from None
    return answer(document(RunAnswer.of(run)), HTTPStatus.ACCEPTED)


def _jobs(request: Request) -> Jobs:
    jobs: Jobs = request.app.state.billing_jobs
    return jobs


async def _read(request: Request) -> Runs:
    try:
        return await in_thread(_jobs(request).ledger.read)
    except UnavailableError as error:
        raise _unavailable(error) from None


def _due(asked: RunRequest, jobs: Jobs, now: datetime) -> datetime:
    """The instant that is meant. Raises Problem where it is none that a job may be done for."""
    if asked.due is not None:
        due = _second(asked.due)
        if due > now:
            raise _wrong("has not come yet")
        if due < now - LOOK_BACK:
            raise _wrong(f"is more than {LOOK_BACK.days} days ago: runs are not known that far back")
        return due
    fires = jobs.settings.fires(asked.job)
    last = latest(fires, now) if fires is not None else None
    if last is None:
        raise _wrong("must say for which instant: the job has no schedule")
    return last


def _second(instant: datetime) -> datetime:
    try:
        return instant.astimezone(UTC).replace(microsecond=0)
    except OverflowError:
        raise _wrong("is no instant between the years 1 and 9999") from None


def _wrong(detail: str) -> Problem:
    errors = [{"field": "due", "detail": detail}]
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, Code.INVALID_REQUEST, f"due: {detail}", errors=errors)


def _unavailable(error: UnavailableError) -> Problem:
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, Code.KAFKA_UNAVAILABLE, str(error), headers={"Retry-After": "5"})
