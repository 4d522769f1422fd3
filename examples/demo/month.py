"""A month of an order management system: what 21 companies used, and what that costs by a count of its own.

The first is the example of the plan: 1,250 orders, 980 invoices, 45 GB kept all month, 50,000 API calls and 120 AI
jobs, $478.50. The second half of the others is billed by Stripe, by the day; all others by our invoices, for the last
calendar month. The same days give the same usage.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

COMPANY: Final = "example-company"
OTHERS: Final = 20
DAYS: Final = 30  # that Stripe is told of
PLAN: Final = "order-management"

BASE_FEE: Final = Decimal(199)
PRICES: Final = {  # of one; storage of a GB all month
    "order": Fraction(10, 100),
    "invoice": Fraction(5, 100),
    "storage": Fraction(1),
    "api_call": Fraction(1, 100_000),
    "ai_job": Fraction(50, 100),
}
EXAMPLE: Final = {"order": 1250, "invoice": 980, "api_call": 50_000, "ai_job": 120}
EXAMPLE_STORED: Final = 45  # GB
_CALLS_TOGETHER: Final = 100  # in one event
_HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True)
class Used:
    tenant: str
    metric: str
    quantity: Decimal
    at: datetime


class Month:
    """``start`` and ``end`` are those of the invoiced month, ``days`` those that Stripe is told of."""

    def __init__(self, now: datetime) -> None:
        self.end = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        self.start = (self.end - timedelta(days=1)).replace(day=1)
        self.days = [now.date() - timedelta(days=back) for back in range(DAYS, 0, -1)]
        names = [f"company-{number:02d}" for number in range(1, OTHERS + 1)]
        self.invoiced = [COMPANY, *names[: OTHERS // 2]]
        self.metered = names[OTHERS // 2 :]
        self.used = [*self._example(), *self._others()]

    def catalog(self) -> dict[str, Any]:
        """Tenants and their plans, as ``meterline catalog apply`` reads them."""
        since = dict.fromkeys(self.invoiced, self.start) | dict.fromkeys(self.metered, midnight(self.days[0]))
        return {
            "tenants": [{"id": tenant, "name": name(tenant)} for tenant in since],
            "tenant_plans": [
                {"tenant_id": tenant, "spans": [{"start": start.isoformat(), "plan": PLAN}]}
                for tenant, start in since.items()
            ],
        }

    def totals(self) -> dict[str, Decimal]:
        """What each company's invoice comes to: counted here, not by the pipeline."""
        counted: dict[str, Counter[str]] = defaultdict(Counter)
        levels: dict[str, list[Used]] = defaultdict(list)
        for used in self.used:
            if used.metric == "storage":
                levels[used.tenant].append(used)
            else:
                counted[used.tenant][used.metric] += int(used.quantity)
        found = {}
        for tenant in self.invoiced:
            quantities = {metric: Fraction(count) for metric, count in counted[tenant].items()}
            quantities["storage"] = self._stored(levels[tenant])
            found[tenant] = BASE_FEE + sum(
                _cents(quantities[metric] * price) for metric, price in PRICES.items() if metric in quantities
            )
        return found

    def told(self) -> Counter[tuple[str, date, str]]:
        """What Stripe has to know: customer, day and metric, but for storage, whose readings hold beyond a day."""
        found: Counter[tuple[str, date, str]] = Counter()
        for used in self.used:
            if used.tenant in self.metered and used.metric != "storage":
                found[name(used.tenant), used.at.date(), used.metric] += int(used.quantity)
        return found

    def _example(self) -> Iterator[Used]:
        length = self.end - self.start
        yield Used(COMPANY, "storage", Decimal(EXAMPLE_STORED), self.start)
        for metric, total in EXAMPLE.items():
            together = _CALLS_TOGETHER if metric == "api_call" else 1
            events = total // together
            for number in range(events):
                yield Used(COMPANY, metric, Decimal(together), _cut(self.start + length * number / events))

    def _others(self) -> Iterator[Used]:
        month = [self.start.date() + timedelta(days=day) for day in range((self.end - self.start).days)]
        for tenants, days in ((self.invoiced[1:], month), (self.metered, self.days)):
            for tenant in tenants:
                chance = random.Random(f"{tenant}{days[0]}")
                for day in days:
                    yield from _day(chance, tenant, day)

    def _stored(self, readings: list[Used]) -> Fraction:
        """GB-months: each reading holds until the next."""
        ends = [*(used.at for used in readings[1:]), self.end]
        held = zip(readings, ends, strict=True)
        hours = sum((Fraction(used.quantity) * ((end - used.at) // _HOUR) for used, end in held), Fraction())
        return hours / ((self.end - self.start) // _HOUR)


def _day(chance: random.Random, tenant: str, day: date) -> Iterator[Used]:
    begin = midnight(day)
    stored = Decimal(chance.randint(50, 4000)) / 100
    yield Used(tenant, "storage", stored, begin + chance.randint(0, 5) * _HOUR)
    for metric, most, together in (("order", 20, 1), ("invoice", 12, 1), ("api_call", 6, 100), ("ai_job", 3, 1)):
        for _event in range(chance.randint(1, most)):
            at = begin + timedelta(seconds=chance.randrange(24 * 3600))
            yield Used(tenant, metric, Decimal(chance.randint(1, together)), at)


def midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def name(tenant: str) -> str:
    return tenant.replace("-", " ").capitalize()


def _cents(amount: Fraction) -> Decimal:
    whole, rest = divmod(amount * 100, 1)
    up = rest > Fraction(1, 2) or (rest == Fraction(1, 2) and whole % 2 == 1)
    return Decimal(int(whole) + up) / 100


def _cut(at: datetime) -> datetime:
    return at.replace(microsecond=0)
