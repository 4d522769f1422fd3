"""Runs of billing's jobs as they go over HTTP."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from meterline_api.billing.jobs.context import Outcome
from meterline_schemas.billing.run import Job, Run, RunState


class RunRequest(BaseModel):
    """A run that is asked for."""

    model_config = ConfigDict(extra="forbid")

    job: Job
    due: Annotated[
        AwareDatetime | None,
        Field(description="The instant that it is done for, cut to the second; by default the last of its schedule."),
    ] = None
    dry_run: Annotated[bool, Field(description="Say what would be done, and do nothing.")] = False


class RunAnswer(BaseModel):
    """A job, for the instant that it was due at."""

    job: Job
    due: AwareDatetime
    state: RunState = Field(description="`lost`: its process ended; another takes it over, or a later run makes up.")
    owner: str = Field(description="Host, process id and mark of whoever does it, or did it last.")
    begun_at: AwareDatetime
    seen_at: AwareDatetime = Field(description="When its owner was last heard of.")
    ended_at: AwareDatetime | None
    asked_by: str = Field(description="Empty: the schedule.")
    result: dict[str, str] = Field(description="Its numbers by name.")
    problems: list[str] = Field(description="What it could not do, each in a sentence.")

    @classmethod
    def of(cls, run: Run) -> Self:
        return cls(
            job=run.job,
            due=run.due,
            state=run.state,
            owner=run.owner,
            begun_at=run.begun_at,
            seen_at=run.seen_at,
            ended_at=run.ended_at,
            asked_by=run.asked_by,
            result=run.result,
            problems=list(run.problems),
        )


class DryRunAnswer(BaseModel):
    """What a run would do."""

    job: Job
    due: AwareDatetime
    dry_run: Literal[True] = True
    result: dict[str, str]
    problems: list[str]

    @classmethod
    def of(cls, request: RunRequest, outcome: Outcome) -> Self:
        """Of a request that says for which instant."""
        return cls.model_validate(
            {
                "job": request.job,
                "due": request.due,
                "result": dict(outcome.result),
                "problems": list(outcome.problems),
            }
        )
