"""An entry of the list of exceptions. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final, NamedTuple

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Kind(StrEnum):
    """Closed, in the order of the list."""

    UNPRICED_USAGE = "unpriced_usage"
    NO_PLAN = "no_plan"
    UNKNOWN_TENANT = "unknown_tenant"
    NO_CUSTOMER = "no_customer"
    NO_METER = "no_meter"
    PUSH_REFUSED = "push_refused"
    PUSH_NEARLY_TOO_OLD = "push_nearly_too_old"
    PUSH_TOO_OLD = "push_too_old"
    NOT_CLOSED = "not_closed"
    PAYMENT_FAILED = "payment_failed"


class Found(NamedTuple):
    """One exception. ``detail`` says in a sentence what it is, ``action`` what to do.

    ``[start, end)`` is the time that it is about, ``since`` when it came about. ``quantity`` is in the metric's unit,
    ``amount`` in units of ``currency``, ``events`` how many; None where it has none. ``reference`` names what it is
    about where that is no tenant's metric, such as an invoice.
    """

    kind: Kind
    tenant_id: str
    detail: str
    action: str
    metric: str = ""
    start: datetime | None = None
    end: datetime | None = None
    since: datetime | None = None
    quantity: Decimal | None = None
    events: int | None = None
    amount: Decimal | None = None
    currency: str = ""
    reference: str = ""

    @property
    def place(self) -> tuple[int, str, str, int, str]:
        """Where it stands in the list."""
        start = -1 if self.start is None else (self.start - _EPOCH) // _MICROSECOND
        return list(Kind).index(self.kind), self.tenant_id, self.metric, start, self.reference


Place = tuple[int, str, str, int, str]


def listed(all_of_them: Iterable[Found], after: Place | None, limit: int) -> tuple[list[Found], Place | None]:
    """A page in the order of their places, and where the next one begins behind; None: there is none."""
    rest = sorted((each for each in all_of_them if after is None or each.place > after), key=lambda each: each.place)
    return rest[:limit], rest[limit - 1].place if len(rest) > limit else None


def day_of(day: date) -> tuple[datetime, datetime]:
    """The UTC day as ``[start, end)``."""
    start = datetime.combine(day, time(), tzinfo=UTC)
    return start, start + timedelta(days=1)


def said(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
