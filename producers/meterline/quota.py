"""May this tenant use more? What the API answers, and the errors of those who may not.

MeterlineError (meterline_schemas.errors)
├── QuotaExceededError            a threshold with action ``block`` is reached
└── UnavailableError
    └── QuotaUnavailableError     that is not known, and ``fail="closed"``
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from msgspec import Struct

from meterline_schemas.errors import MeterlineError, UnavailableError


class ThresholdStatus(Struct, frozen=True):
    """A threshold of the tenant or subject, and how near usage is to it."""

    id: str
    action: str
    reached: bool
    used: Decimal | None = None
    limit: Decimal | None = None
    resets_at: datetime | None = None


class QuotaStatus(Struct, frozen=True):
    """The answer of ``GET /v1/quotas/check``; numbers are exact, None where there is no quota."""

    tenant_id: str
    metric: str
    subject: str
    has_quota: bool
    unlimited: bool
    blocked: bool
    used: Decimal | None = None
    included: Decimal | None = None
    remaining: Decimal | None = None
    resets_at: datetime | None = None
    thresholds: tuple[ThresholdStatus, ...] = ()
    provisional: bool = False

    def blocking(self) -> ThresholdStatus | None:
        """The threshold for which events are refused."""
        return next((each for each in self.thresholds if each.action == "block" and each.reached), None)


class QuotaExceededError(MeterlineError):
    """A threshold with action ``block`` is reached. ``used``, ``limit`` and ``resets_at`` are None where not told."""

    status = 403
    code = "quota_exceeded"

    def __init__(
        self,
        tenant_id: str,
        metric: str,
        subject: str | None = None,
        used: Decimal | None = None,
        limit: Decimal | None = None,
        resets_at: datetime | None = None,
    ) -> None:
        self.tenant_id, self.metric, self.subject = tenant_id, metric, subject
        self.used, self.limit, self.resets_at = used, limit, resets_at
        who = f"{tenant_id!r}" + (f" ({subject!r})" if subject else "")
        amount = f" used {used} of {limit}" if used is not None and limit is not None else " reached the limit"
        until = f"wait until {resets_at.isoformat()}" if resets_at is not None else "wait for the next period"
        super().__init__(f"{who}{amount} of {metric!r}, which blocks more of it: raise the limit, or {until}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.tenant_id, self.metric, self.subject, self.used, self.limit, self.resets_at)

    @classmethod
    def of(cls, status: QuotaStatus) -> QuotaExceededError:
        blocking = status.blocking()
        return cls(
            status.tenant_id,
            status.metric,
            status.subject or None,
            status.used if blocking is None else blocking.used,
            status.included if blocking is None else blocking.limit,
            status.resets_at if blocking is None else blocking.resets_at,
        )


class QuotaUnavailableError(UnavailableError):
    """Whether more may be used is not known."""

    status = 503
    code = "quota_unavailable"
