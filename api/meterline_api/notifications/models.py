"""What goes over HTTP about notifications. Decimals are text."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, Field

from meterline_schemas.delivery import MAX_ANSWER, MAX_ATTEMPTS, Attempt, Delivery

_TARGET = "`webhook/<id>` or `email/<address>`."
MAX_TARGET = 300


class NotificationAnswer(BaseModel):
    """What happened. Members that are of thresholds only are null or empty elsewhere."""

    id: str = Field(description="Derived from what happened: the `webhook-id` of every call that tells of it.")
    type: str
    timestamp: AwareDatetime
    tenant_id: str = Field(description="Empty where it is not of one tenant.")
    metric: str
    subject: str
    threshold_id: str
    usage: str | None
    limit: str | None
    percent: str | None = Field(description="Usage in percent of the limit, cut to two decimals.")
    step: str | None = Field(description="The percentage of the limit that was reached.")
    period_start: AwareDatetime | None
    period_end: AwareDatetime | None


class AttemptAnswer(BaseModel):
    """One try. Without a `status_code` no server answered, and `error` says why."""

    number: int = Field(description="From 1, resends included.")
    at: AwareDatetime
    seconds: float
    status_code: int | None = Field(description="What the HTTP or SMTP server answered.")
    error: str = Field(description="Empty where it was taken.")
    answer: str = Field(description=f"The first {MAX_ANSWER} bytes of the answer.")

    @classmethod
    def of(cls, attempt: Attempt) -> AttemptAnswer:
        return cls(
            number=attempt.number,
            at=attempt.at,
            seconds=attempt.seconds,
            status_code=attempt.status,
            error=attempt.error,
            answer=attempt.answer,
        )


class DeliveryAnswer(BaseModel):
    """A notification on its way to one target."""

    target: str = Field(description=_TARGET)
    kind: str = Field(description="`webhook` or `email`.")
    id: str = Field(description="Id of the webhook, or the address.")
    status: Literal["pending", "waiting", "delivered", "failed"] = Field(
        description="pending: not tried yet; waiting: tried in vain, and once more at `next_at`; failed: given up."
    )
    next_at: AwareDatetime | None
    attempts: list[AttemptAnswer] = Field(description=f"In their order, the last {MAX_ATTEMPTS}.")

    @classmethod
    def of(cls, delivery: Delivery) -> DeliveryAnswer:
        kind, _, name = delivery.target.partition("/")
        return cls(
            target=delivery.target,
            kind=kind,
            id=name,
            status=delivery.state.value,
            next_at=delivery.next_at,
            attempts=[AttemptAnswer.of(attempt) for attempt in delivery.attempts],
        )


class NotificationDetail(NotificationAnswer):
    """One notification, who was to be told, and how that went."""

    data: dict[str, Any] = Field(description="Everything that was told, as its schema has it.")
    deliveries: list[DeliveryAnswer] = Field(description="One for each target.")
    note: str | None = Field(None, description="Why there are no deliveries, where there are none.")


class ResendRequest(BaseModel):
    """Whom to tell once more."""

    target: Annotated[
        str, Field(max_length=MAX_TARGET, description=f"{_TARGET} Without it, all that were to be told.")
    ] = ""


class ResendAnswer(BaseModel):
    """The request, written down for the notifier."""

    id: str = Field(description="Of this request.")
    notification_id: str
    target: str = Field(description="Empty: all that were to be told.")
