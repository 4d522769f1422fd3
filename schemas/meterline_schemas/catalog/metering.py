"""From which day on Stripe's meters charge a tenant: no day is charged twice, none that was told taken back. Pure."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from meterline_schemas.catalog.entry import FieldProblem, RefusedError
from meterline_schemas.catalog.tenant import Tenant


def check_metered_since(tenant: Tenant, was: date | None, now: datetime, closed_until: datetime | None) -> None:
    """``was`` is from when on it is metered so far; ``closed_until``, up to where it is invoiced.

    Raises:
        RefusedError: ``meaning``: such days are charged already, or Stripe was told of the days from ``was`` on.
    """
    since = tenant.metered_since
    assert since is not None  # noqa: S101
    if was is not None and was <= now.astimezone(UTC).date():
        _refuse(f"is {was} and that day has come: Stripe is told of it, and it stays")
    if tenant.metered_before and (end := tenant.metered_before[-1].end) is not None and since < end:
        _refuse(f"must be {end} or later: it was metered until then before")
    if closed_until is not None and datetime.combine(since, time(), tzinfo=UTC) < closed_until:
        first = closed_until.astimezone(UTC)
        if first != datetime.combine(first.date(), time(), tzinfo=UTC):
            first += timedelta(days=1)
        _refuse(f"must be {first.date()} or later: what was used before is invoiced")


def _refuse(detail: str) -> None:
    raise RefusedError("meaning", [FieldProblem("metered_since", detail)])
