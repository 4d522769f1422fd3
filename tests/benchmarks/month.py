"""A month of very many tenants that are on plans: their catalog, their usage, and what they owe by a count of its own.

Everybody used every metric on so many days of that month, and once yesterday. Rows are written as the sink leaves
them: raw events, some of them late, and totals of hours.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from typing import Any, Final

from meterline_schemas import topics
from meterline_schemas.billing.push import Push, PushState
from meterline_schemas.billing.push import encode as encode_push
from meterline_schemas.billing.run import Job, Run, RunState
from meterline_schemas.billing.run import encode as encode_run
from meterline_schemas.catalog import Aggregation, Billing, Entry, Metric, Plan, StripeMeter, Tenant, TenantPlan
from meterline_schemas.catalog.plan import Span
from tests.benchmarks import kafka
from tests.benchmarks.cluster import Installation
from tests.benchmarks.workload import Message

DAY: Final = timedelta(days=1)
METRICS: Final = ("calls", "jobs", "messages", "rows", "tokens")
SCALE: Final = 3  # decimals of a quantity
_EXACT: Final = Context(prec=80, rounding=ROUND_HALF_EVEN)
_PER_UNIT: Final = {"model": "per_unit", "unit_price": "0.0013"}
_PLANS: Final[dict[str, dict[str, Any]]] = {
    "pay-as-you-go": {
        "base_fee": "0",
        "charges": [
            {"metric": "calls", "price": _PER_UNIT},
            {"metric": "jobs", "price": {"model": "per_unit", "unit_price": "0.05"}},
            {"metric": "messages", "price": {"model": "package", "price": "0.75", "size": "100"}},
            {"metric": "rows", "price": {"model": "per_unit", "unit_price": "0.01", "per": "1000"}},
            {"metric": "tokens", "price": {"model": "percentage", "percent": "1.5"}},
        ],
    },
    "team": {
        "base_fee": "49",
        "charges": [
            {"metric": "calls", "included": "250", "price": _PER_UNIT},
            {"metric": "jobs", "price": {"model": "graduated", "tiers": [
                {"up_to": "10", "unit_price": "0.10", "flat": "1"}, {"unit_price": "0.05"}]}},
            {"metric": "messages", "discount_percent": "10",
             "price": {"model": "package", "price": "0.75", "size": "100"}},
            {"metric": "rows", "minimum": "0.50",
             "price": {"model": "per_unit", "unit_price": "0.01", "per": "1000"}},
            {"metric": "tokens", "price": {"model": "volume", "tiers": [
                {"up_to": "1500", "unit_price": "0.02"}, {"unit_price": "0.015", "flat": "2"}]}},
        ],
    },
}  # fmt: skip


@dataclass(frozen=True)
class Month:
    """The last month that ended before yesterday, of ``tenants`` on two plans.

    ``days`` is on how many of its days each of them used each metric. What they use later Stripe's meters charge.
    """

    installation: Installation
    tenants: int
    days: int
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def start(self) -> datetime:
        return (self.end - DAY).replace(day=1)

    @property
    def end(self) -> datetime:
        return (self.today - DAY).replace(day=1)

    @property
    def today(self) -> datetime:
        return self.now.replace(hour=0, minute=0, second=0, microsecond=0)

    @property
    def rows(self) -> int:
        """Of the month and of yesterday."""
        return self.tenants * len(METRICS) * (self.days + 1)

    def names(self) -> Iterator[str]:
        return map("tenant-{:06d}".format, range(self.tenants))

    def write_catalog(self, customers: Sequence[str] = (), meters: Mapping[str, str] | None = None) -> None:
        """Metrics, plans, and the tenants, each on a plan; ``customers`` and ``meters`` are their ids at Stripe."""
        entries: list[Entry] = []
        for key in METRICS:
            kind = Aggregation.COUNT if key == "jobs" else Aggregation.SUM
            entries.append(Metric(key=key, unit=key.removesuffix("s"), aggregation=kind))
            scale = 0 if key == "jobs" else SCALE
            meter = _meter(key) if meters is None else meters[key]
            entries.append(StripeMeter(metric=key, meter=meter, event_name=key, scale=scale, prices={}))
        for id, version in _PLANS.items():
            entries.append(Plan.model_validate({"id": id, "currency": "EUR", "versions": [version]}))
        span = {id: (Span(start=self.start, plan=id),) for id in _PLANS}

        def all_of_them() -> Iterator[Entry]:
            yield from entries
            for number, name in enumerate(self.names()):
                customer = customers[number] if customers else _customer(number)
                yield Tenant(
                    id=name,
                    name=f"Company {number}",
                    billing=Billing.METER,
                    stripe_customer=customer,
                    metered_since=self.end.date(),
                )
                yield TenantPlan(tenant_id=name, spans=span[_plan_of(number)])

        self._send(topics.CONFIG, (Message(0, each.encode(), each.record_key) for each in all_of_them()))

    def pushed_before(self) -> None:
        """The ledger as the push of yesterday left it: what was used the day before is delivered."""
        day, at = (self.today - 2 * DAY).date(), self.today - DAY + timedelta(hours=1)

        def pushes() -> Iterator[Push]:
            for number, name in enumerate(self.names()):
                for key in METRICS:
                    customer, meter = _customer(number), _meter(key)
                    yield Push(customer, meter, day, 1, 1, name, key, PushState.DELIVERED, at, "", f"req_{number}")

        run = Run(Job.PUSH, at, RunState.DONE, "before", at, at, at)
        self._send(topics.PUSHES, (Message(0, encode_push(each), each.key) for each in pushes()))
        self._send(topics.RUNS, [Message(0, encode_run(run), run.key)])

    def fill(self, late_every: int = 1_000) -> None:
        """Raw events, their totals, and that everything is in."""
        span = int((self.end - self.start).total_seconds())
        self._events(0, self.days, self.start, span // self.days, late_every)
        self._events(self.days, 1, self.today - DAY, 86_400, late_every)
        for topic in (topics.ACCEPTED, topics.REJECTED, topics.TOTALS):
            for partition in range(self.installation.partitions):
                self.installation.query(
                    "INSERT INTO {db}.usage_progress (topic, kafka_partition, next_offset) "
                    f"SELECT '{topic}', {partition}, {self.rows}"
                )

    def _events(self, before: int, days: int, start: datetime, step: int, late_every: int) -> None:
        """One event of each tenant and metric in each of ``days`` steps of so many seconds."""
        of_one = len(METRICS) * days
        names = ", ".join(f"'{name}'" for name in METRICS)
        end = start + days * timedelta(seconds=step)
        at, written = int(start.timestamp()), int(end.timestamp())
        share = max(1, 1_000_000 // of_one)  # tenants of an insert
        for first in range(0, self.tenants, share):
            count = min(share, self.tenants - first) * of_one
            self.installation.query(
                "INSERT INTO {db}.usage_events_raw (tenant_id, metric, timestamp, id, quantity, source, properties, "
                "late, kafka_partition, kafka_offset, kafka_line, received_at, inserted_at) "
                f"SELECT concat('tenant-', leftPad(toString({first} + intDiv(number, {of_one})), 6, '0')) AS tenant, "
                f"[{names}][1 + number % {len(METRICS)}], "
                f"fromUnixTimestamp64Milli(toInt64({at} + intDiv(number % {of_one}, {len(METRICS)}) * {step}) * 1000 "
                f"+ toInt64(cityHash64(number, {first}, {before}, 1) % {step * 1000}), 'UTC') AS happened, "
                f"concat('{before}-', toString(number)), "
                f"toDecimal128(1 + cityHash64(number, {first}, {before}, 2) % 100000, 9) / {10**SCALE}, 'app', "
                f"map('region', ['eu', 'us'][1 + number % 2]), number % {late_every} = 7, "
                f"number % {self.installation.partitions}, "
                f"{self.tenants * len(METRICS) * before + first * of_one} + number, 0, happened, "
                f"fromUnixTimestamp64Milli(toInt64({written} * 1000), 'UTC') FROM numbers({count}) "
                "SETTINGS max_insert_threads = 2, max_partitions_per_insert_block = 1000"
            )
            last = min(first + share, self.tenants) - 1
            for late, table, place, values in (
                (0, "usage_totals", "kafka_partition, version, ", "0, 1, "),
                (1, "usage_late_totals", "", ""),
            ):
                self.installation.query(
                    f"INSERT INTO {{db}}.{table} (tenant_id, metric, hour, {place}count, sum, min, max, last, "
                    "last_timestamp, last_id, inserted_at) SELECT tenant_id, metric, toStartOfHour(timestamp) AS hour, "
                    f"{values}count(), sum(toDecimal256(quantity, 9)), min(quantity), max(quantity), "
                    "argMax(quantity, (timestamp, id)), max(timestamp), argMax(id, (timestamp, id)), max(inserted_at) "
                    f"FROM {{db}}.usage_events_raw WHERE late = {late} AND tenant_id BETWEEN 'tenant-{first:06d}' "
                    f"AND 'tenant-{last:06d}' AND {_within(start, end)} "
                    "GROUP BY tenant_id, metric, hour SETTINGS max_partitions_per_insert_block = 1000"
                )

    def _send(self, topic: str, messages: Iterable[Message]) -> None:
        kafka.fill(self.installation.bootstrap, self.installation.topic(topic), messages)

    def yesterday(self) -> dict[tuple[str, str], int]:
        """What Stripe is to be told of yesterday, by tenant and metric: whole parts of a unit."""
        rows = self.installation.query(
            "SELECT tenant_id, metric, count(), sum(toDecimal256(quantity, 9)) FROM {db}.usage_events_raw FINAL "
            f"WHERE {_within(self.today - DAY, self.today)} GROUP BY tenant_id, metric"
        )
        return {
            (tenant, metric): int(count) if metric == "jobs" else int(_EXACT.scaleb(Decimal(total), SCALE))
            for tenant, metric, count, total in rows
        }

    def owed(self) -> dict[str, Decimal]:
        """What each tenant owes for the month, by the raw events and arithmetic of its own."""
        found = {name: Decimal(49) if _plan_of(number) == "team" else Decimal(0)
                 for number, name in enumerate(self.names())}  # fmt: skip
        rows = self.installation.query(
            "SELECT tenant_id, metric, count(), sum(toDecimal256(quantity, 9)) FROM {db}.usage_events_raw FINAL "
            f"WHERE {_within(self.start, self.end)} GROUP BY tenant_id, metric"
        )
        with localcontext(_EXACT):
            for tenant, metric, count, total in rows:
                used = Decimal(count if metric == "jobs" else total)
                amount = price(_plan_of(int(tenant[-6:])), metric, used)
                found[tenant] += amount.quantize(Decimal("0.01"))
        return found


def price(plan: str, metric: str, used: Decimal) -> Decimal:
    """What a tenant's month of a metric comes to before it is rounded, written out by hand."""
    team = plan == "team"
    match metric:
        case "calls":
            return max(used - 250, Decimal(0)) * Decimal("0.0013") if team else used * Decimal("0.0013")
        case "jobs":
            if not team:
                return used * Decimal("0.05")
            within = min(used, Decimal(10))
            return 1 + within * Decimal("0.10") + (used - within) * Decimal("0.05")
        case "messages":
            packages = int(used // 100) + bool(used % 100)
            return packages * Decimal("0.75") * (Decimal("0.9") if team else 1)
        case "rows":
            return max(used * Decimal("0.00001"), Decimal("0.50")) if team else used * Decimal("0.00001")
        case _:
            if not team:
                return used * Decimal("0.015")
            return used * Decimal("0.02") if used <= 1500 else used * Decimal("0.015") + 2


def _within(start: datetime, end: datetime) -> str:
    first, last = (f"fromUnixTimestamp64Milli({int(each.timestamp()) * 1000}, 'UTC')" for each in (start, end))
    return f"timestamp >= {first} AND timestamp < {last}"


def _plan_of(number: int) -> str:
    return "team" if number % 3 == 0 else "pay-as-you-go"


def _customer(number: int) -> str:
    return f"cus_{number:014d}"


def _meter(metric: str) -> str:
    return f"mtr_{metric}"
