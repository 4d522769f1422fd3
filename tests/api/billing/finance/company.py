"""A few tenants on plans of all sorts, what they used, and what that comes to: counted without anything of ours."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from meterline_schemas.catalog import Aggregation, Entry, Metric, Plan, Tenant, TenantPlan
from meterline_schemas.catalog.plan import Span
from tests.api.process import ApiProcess
from tests.support.streams import wait_until

DAY = timedelta(days=1)
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
THIS = TODAY.replace(day=1)
LAST = (THIS - DAY).replace(day=1)
"""Beginning of the month before."""
INDIA = "Asia/Kolkata"
UTCS, INDIAN, MOVER, DAILY = "team-utc", "team-india", "mover", "by-day"
MOVED = LAST + 14 * DAY
BEGUN = TODAY - 4 * DAY  # of the tenant that is invoiced by the day

METRICS = (
    Metric(key="calls", unit="call", aggregation=Aggregation.SUM),
    Metric(key="disk", unit="GB", aggregation=Aggregation.TIME_WEIGHTED),
    Metric(key="people", unit="person", aggregation=Aggregation.UNIQUE_COUNT, unique_by="subject"),
    Metric(key="peak", unit="job", aggregation=Aggregation.MAX),
    Metric(key="extra", unit="thing", aggregation=Aggregation.SUM),
)


def per_unit(metric: str, price: str, **more: Any) -> dict[str, Any]:
    per = {"per": more.pop("per")} if "per" in more else {}
    return {"metric": metric, "price": {"model": "per_unit", "unit_price": price, **per}, **more}


PLANS = (
    Plan.model_validate(
        {
            "id": "team",
            "currency": "EUR",
            "versions": [
                {
                    "base_fee": "31",
                    "charges": [
                        {
                            "metric": "calls",
                            "included": "10",
                            "price": {
                                "model": "graduated",
                                "tiers": [
                                    {"up_to": "100", "unit_price": "0.10", "flat": "2"},
                                    {"unit_price": "0.033"},
                                ],
                            },
                        },
                        per_unit("disk", "1.5", measure="unit_months"),
                        per_unit("people", "3"),
                        per_unit("peak", "0.5", per="3"),
                    ],
                }
            ],
        }
    ),
    Plan.model_validate(
        {
            "id": "solo",
            "currency": "EUR",
            "versions": [{"base_fee": "10", "charges": [per_unit("calls", "0.01", per="7", minimum="5")]}],
        }
    ),
    Plan.model_validate(
        {
            "id": "days",
            "currency": "USD",
            "period": "daily",
            "versions": [{"base_fee": "0.99", "charges": [per_unit("calls", "0.033", included="10")]}],
        }
    ),
)
FEES = {"team": Fraction(31), "solo": Fraction(10), "days": Fraction(99, 100)}


def owed(plan: str, metric: str, quantity: Fraction, share: Fraction) -> Fraction:
    """By the plans above, in words of their own."""
    match plan, metric:
        case "team", "calls":
            over = max(quantity - 10 * share, Fraction(0))
            if not over:
                return over
            return 2 * share + min(over, 100 * share) / 10 + max(over - 100 * share, Fraction(0)) * Fraction(33, 1000)
        case "team", "disk":
            return quantity * Fraction(3, 2)
        case "team", "people":
            return quantity * 3
        case "team", "peak":
            return quantity / 6
        case "solo", "calls":
            return max(quantity / 700, 5 * share)
        case "days", "calls":
            return max(quantity - 10, Fraction(0)) * Fraction(33, 1000)
    return Fraction(0)


class Part(NamedTuple):
    """A time on one plan within a period."""

    tenant: str
    plan: str
    start: datetime
    end: datetime
    period: tuple[datetime, datetime]

    @property
    def share(self) -> Fraction:
        whole = self.period[1] - self.period[0]
        return Fraction((self.end - self.start) // timedelta(seconds=1), whole // timedelta(seconds=1))

    def until(self, at: datetime) -> Part:
        return self._replace(end=min(self.end, at))


def month(first: datetime, zone: str) -> tuple[datetime, datetime]:
    """The calendar month of a zone that a day of the UTC month lies in."""
    local = datetime(first.year, first.month, 1, tzinfo=ZoneInfo(zone))
    year, following = (first.year + 1, 1) if first.month == 12 else (first.year, first.month + 1)
    return local.astimezone(UTC), datetime(year, following, 1, tzinfo=ZoneInfo(zone)).astimezone(UTC)


def parts() -> Iterator[Part]:
    """Of all tenants, closed ones and those that go on."""
    for first in (LAST, THIS):
        for tenant, zone in ((UTCS, "UTC"), (INDIAN, INDIA)):
            period = month(first, zone)
            yield Part(tenant, "team", *period, period)
        period = month(first, "UTC")
        if first == LAST:
            yield Part(MOVER, "team", LAST, MOVED, period)
        yield Part(MOVER, "solo", max(MOVED, first), period[1], period)
    for number in range(5):
        start = BEGUN + number * DAY
        yield Part(DAILY, "days", start, start + DAY, (start, start + DAY))


def entries() -> Iterator[Entry]:
    yield from METRICS
    yield from PLANS
    yield from (Tenant(id=id, name=id.title()) for id in (UTCS, MOVER, DAILY))
    yield Tenant(id=INDIAN, name="India", time_zone=INDIA)
    yield TenantPlan(tenant_id=UTCS, spans=(Span(start=LAST, plan="team"),))
    yield TenantPlan(tenant_id=INDIAN, spans=(Span(start=month(LAST, INDIA)[0], plan="team"),))
    yield TenantPlan(tenant_id=MOVER, spans=(Span(start=LAST, plan="team"), Span(start=MOVED, plan="solo")))
    yield TenantPlan(tenant_id=DAILY, spans=(Span(start=BEGUN, plan="days"),))


@dataclass
class Sent:
    """What was sent, and what of it there is in any time."""

    events: list[tuple[str, str, Decimal, datetime, str]] = field(default_factory=list)

    def of(self, tenant: str, metric: str, start: datetime, end: datetime) -> list[tuple[Decimal, datetime, str]]:
        return [
            (quantity, at, subject)
            for id, key, quantity, at, subject in self.events
            if (id, key) == (tenant, metric) and start <= at < end
        ]

    def number(self, part: Part, metric: str, end: datetime) -> Fraction:
        """What is charged of a metric from the start of a part to ``end``."""
        found = self.of(part.tenant, metric, part.start, end)
        match metric:
            case "people":
                return Fraction(len({subject for _quantity, _at, subject in found}))
            case "peak":
                return Fraction(max((quantity for quantity, _at, _subject in found), default=Decimal(0)))
            case "disk":
                return self._months(part, end)
        return sum((Fraction(quantity) for quantity, _at, _subject in found), Fraction(0))

    def _months(self, part: Part, end: datetime) -> Fraction:
        """Unit x hours are rounded at the ninth decimal, and so are unit x months."""
        readings = sorted((at, quantity) for quantity, at, _ in self.of(part.tenant, "disk", _FIRST, end))
        held = Fraction(0)
        ends = [*(at for at, _quantity in readings[1:]), end]
        for (at, quantity), following in zip(readings, ends, strict=False):
            lasted = max(following - max(at, part.start), timedelta(0))
            held += Fraction(quantity) * Fraction(lasted // timedelta(milliseconds=1), 3_600_000)
        hours = (part.period[1] - part.period[0]) / timedelta(hours=1)
        return Fraction(round(Fraction(round(held * 10**9)) / Fraction(hours)), 10**9)

    def usage(self) -> list[dict[str, Any]]:
        """Of every tenant, in the last month and in this one."""
        for number, part in enumerate(parts()):
            first = max(part.start, LAST)
            for step in range(12):
                at = first + step * timedelta(days=2, hours=7, minutes=11 * number)
                if at < min(part.end, TODAY):
                    self.events.append((part.tenant, "calls", Decimal(f"{3 + 4 * step}.{number + 1}25"), at, ""))
                    if part.plan == "team":
                        self.events.append((part.tenant, "people", Decimal(1), at, f"p{step % 5}"))
                        self.events.append((part.tenant, "peak", Decimal(1 + step * 7 % 10), at, ""))
            if part.plan == "team" and part.start < TODAY:
                self.events.append((part.tenant, "disk", Decimal("4.5"), first + timedelta(hours=30, minutes=7), ""))
                self.events.append((part.tenant, "disk", Decimal("0.75"), first + timedelta(days=9, hours=3), ""))
        self.events = [each for each in self.events if each[3] < TODAY]
        return [body(*each) for each in self.events]


_FIRST = datetime(2000, 1, 1, tzinfo=UTC)


def body(tenant: str, metric: str, quantity: Decimal, at: datetime, subject: str = "") -> dict[str, Any]:
    found = {"id": str(uuid.uuid4()), "tenant_id": tenant, "metric": metric, "quantity": str(quantity)}
    return {**found, "timestamp": at.isoformat(), **({"subject": subject} if subject else {})}


@dataclass
class Site:
    """An installation in which this was used."""

    api: ApiProcess
    sent: Sent
    prefix: str
    kafka: str
    query: Any
    done: dict[str, datetime] = field(default_factory=dict)

    def send(self, *events: dict[str, Any]) -> None:
        answer = self.api.send(json.dumps(events))
        assert answer.status_code == 202, answer.text
        assert answer.json()["accepted"] == len(events), answer.text

    def late(self, tenant: str, metric: str, quantity: str, at: datetime) -> None:
        """One more event; it is known once this returns."""
        before = self.counted(tenant)
        self.sent.events.append((tenant, metric, Decimal(quantity), at, ""))
        self.send(body(tenant, metric, Decimal(quantity), at))
        wait_until(lambda: self.counted(tenant) == before + 1, 30, "the event is in ClickHouse")

    def counted(self, tenant: str) -> int:
        (row,) = self.query(f"SELECT toUInt32(count()) AS n FROM {{db}}.usage_events WHERE tenant_id = '{tenant}'")
        return int(row["n"])

    def run(self, job: str, **more: Any) -> dict[str, Any]:
        """Have a job done now, and wait for its end."""
        wait_until(lambda: second() > self.done.get(job, LAST), 10, "an instant that it was not done for")
        due = self.done[job] = second()
        asked = {"job": job, "due": due.isoformat(), **more}
        answer = self.api.client.post("/v1/billing/runs", json=asked, timeout=90)
        if more.get("dry_run"):
            assert answer.status_code == 200, answer.text
            return dict(answer.json())
        assert answer.status_code == 202, answer.text
        path = f"/v1/billing/runs/{job}/{due.isoformat()}"
        wait_until(lambda: self.api.client.get(path).json()["state"] != "running", 90, "the run ended")
        return dict(self.api.client.get(path).json())

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        answer = self.api.client.get(path, params={name: value for name, value in query.items() if value is not None})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def pages(self, path: str, **query: Any) -> list[dict[str, Any]]:
        """All of a list, in pages."""
        found: list[dict[str, Any]] = []
        cursor = None
        while True:
            page = self.get(path, cursor=cursor, **query)
            found += page["data"]
            cursor = page.get("next_cursor")
            if cursor is None:
                return found


def second() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def midnight(instant: datetime) -> datetime:
    return datetime.combine(instant.date(), time(), tzinfo=UTC)
