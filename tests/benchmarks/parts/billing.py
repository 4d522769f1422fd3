"""Billing very many tenants: the plan of the daily push, the close of a month, and its invoices, each checked.

The month is made in ClickHouse at once, as the sink leaves it. The close is the real one, by ``POST /v1/billing/runs``;
what it wrote is compared with a price of its own for every tenant. Calls to Stripe are counted by the stand-in.
"""

from __future__ import annotations

import bisect
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

from meterline_schemas.billing.run import Job, RunState
from tests.benchmarks import load
from tests.benchmarks.cluster import Bench, Running, wait
from tests.benchmarks.load import Load
from tests.benchmarks.measure import MB, Sampler, percentile
from tests.benchmarks.month import METRICS, Month
from tests.benchmarks.parts import ingest
from tests.benchmarks.results import CheckFailedError, Figure, Result
from tests.benchmarks.sizes import Sizes
from tests.stripe.process import KEY as STRIPE_KEY
from tests.stripe.process import StandIn

CONNECTIONS: Final = 4
ASKED: Final = 8  # invoices, in turn
RATE: Final = 20.0  # requests a second of each connection
PUSHES_A_SECOND: Final = 50
MILLI: Final = 1_000
_SECONDS: Final = 1_800.0


class Measured(NamedTuple):
    """What a job told, how long it took, and the most memory of the API meanwhile."""

    told: dict[str, Any]
    seconds: float
    peak: int


def run(bench: Bench, sizes: Sizes) -> Result:
    hey = load.load_generator()
    month = Month(bench.installation("billing", clickhouse=True), sizes.billing_tenants, sizes.billing_days)
    month.write_catalog()
    month.pushed_before()
    month.fill()
    sink = bench.sink(month.installation)
    written = "SELECT count() FROM {db}.tenants FINAL"  # the sink takes the catalog in too
    wait(lambda: int(month.installation.query(written)[0][0]) >= month.tenants, 300, "the catalog in ClickHouse")
    api = started(bench, month, METERLINE_STRIPE_LEDGER=str(bench.folder / "pushes.sqlite"))
    first, again = (done(api, Job.PUSH, dry_run=True) for _ in range(2))
    pairs = month.tenants * len(METRICS)
    for plan in (first, again):
        if plan.told["result"].get("new") != str(pairs) or plan.told["problems"]:
            raise CheckFailedError(f"the plan of the push is {plan.told}, not {pairs} days that are new")
    close = done(api, Job.CLOSE)
    compared = compare(month, close.told)
    asked = invoices(hey, api, month, sizes)
    api.stop()
    sink.stop()
    bench.remove(month.installation)
    calls, sent, rate = pushed(bench, sizes)
    return Result(
        part="billing",
        events=month.rows,
        figures=[
            Figure("plan", "plan of the daily push, the first after a start", first.seconds, "s"),
            Figure("plan_again", "the same once more", again.seconds, "s"),
            Figure("plan_peak", "memory of the API meanwhile, at most", max(first.peak, again.peak) / MB, "MB"),
            Figure("close", "close of the month", close.seconds, "s"),
            Figure("close_rate", "invoices closed per second", month.tenants / close.seconds),
            Figure("close_peak", "memory of the API meanwhile, at most", close.peak / MB, "MB"),
            Figure("invoice_p50", "a tenant's invoice, median", percentile(asked.waits, 50) * MILLI, "ms"),
            Figure("invoice_p99", "a tenant's invoice, 99th percentile", percentile(asked.waits, 99) * MILLI, "ms"),
            Figure("calls_rate", "calls to Stripe a second, as configured", PUSHES_A_SECOND),
            Figure("calls_mean", "calls to Stripe a second, all in all", rate),
            Figure("calls_most", "calls to Stripe in the busiest second", calls),
        ],
        check=f"each of {compared:,} invoices comes to what SQL and decimals of another kind come to, from the raw "
        f"events; numbers run from 1 on without a gap; both plans name all {pairs:,} days; Stripe has each of {sent} "
        "days as it was used",
        notes=[
            f"{month.tenants:,} tenants × {len(METRICS)} metrics, events on {month.days} days of the month and "
            f"yesterday: {month.rows:,}, one of 1,000 late; the ledger holds the {pairs:,} pushes of the day before; "
            f"METERLINE_STRIPE_LEDGER is a file. Invoices as JSON by number, hey {load.VERSION} over {CONNECTIONS} "
            f"connections with up to {RATE:.0f} requests a second each"
        ],
    )  # fmt: skip


def started(bench: Bench, month: Month, **settings: str) -> Running:
    """An API process that has read the catalog; nothing is on its schedule."""
    api = ingest.start(
        bench,
        **month.installation.environment(),
        METERLINE_BILLING_ENABLED="false",
        METERLINE_BILLING_GRACE="PT0S",
        **{"METERLINE_STRIPE_KEY": STRIPE_KEY, "METERLINE_STRIPE_URL": "http://127.0.0.1:1", **settings},
    )
    *_, last = month.names()
    wait(lambda: _answers(api, f"/v1/tenants/{last}"), 300, "the API to have read the catalog", api.check)
    return api


def done(api: Running, job: Job, *, dry_run: bool = False) -> Measured:
    """A job, from the request to its end.

    Raises:
        CheckFailedError: it failed.
    """
    due = datetime.now(UTC).replace(microsecond=0).isoformat()
    with Sampler(api=api.pid) as sampler:
        began = time.monotonic()
        told = ask(api, "/v1/billing/runs", {"job": job, "due": due, "dry_run": dry_run})
        while told.get("state") == RunState.RUNNING:
            if time.monotonic() - began > _SECONDS:
                raise TimeoutError(f"{job} goes on after {_SECONDS:.0f} s: {told}")
            time.sleep(0.5)
            told = ask(api, f"/v1/billing/runs/{job}/{due}")
        seconds = time.monotonic() - began
    if told.get("state", RunState.DONE) != RunState.DONE:
        raise CheckFailedError(f"{job} ended with {told}")
    return Measured(told, seconds, sampler.peak_rss("api"))


def compare(month: Month, told: dict[str, Any]) -> int:
    """Every tenant's invoice with what it owes; how many there are.

    Raises:
        CheckFailedError: one differs, or a number is missing.
    """
    if told["result"]["invoices"] != str(month.tenants) or told["problems"]:
        raise CheckFailedError(f"of {month.tenants} tenants the close says {told}")
    installation, count = month.installation, "SELECT count() FROM {db}.invoices"
    wait(lambda: int(installation.query(count)[0][0]) >= month.tenants, 300, "invoices in ClickHouse")
    rows = installation.query("SELECT number, tenant_id, total FROM {db}.invoices ORDER BY number")
    if [row[0] for row in rows] != [f"INV-{number:06d}" for number in range(1, month.tenants + 1)]:
        raise CheckFailedError("the numbers of the invoices have a gap, or are there twice")
    found = {tenant: Decimal(total) for _number, tenant, total in rows}
    owed = month.owed()
    wrong = [tenant for tenant in owed if found.get(tenant) != owed[tenant]]
    if wrong or len(found) != len(owed):
        first = (wrong or [*found])[0]
        raise CheckFailedError(f"{len(wrong)} are wrong: {first} owes {owed.get(first)}, not {found.get(first)}")
    return len(rows)


def invoices(hey: Any, api: Running, month: Month, sizes: Sizes) -> Load:
    """Some invoices, each asked for again and again by its number."""
    share = max(CONNECTIONS, min(200, sizes.events // 5_000) // CONNECTIONS * CONNECTIONS)
    numbers = [1 + each * (month.tenants - 1) // (ASKED - 1) for each in range(ASKED)]
    headers = {"Authorization": f"Bearer {ingest.KEY}"}
    loads = [
        load.ask(
            hey,
            ingest.url_of(api, f"/v1/invoices/INV-{number:06d}"),
            api,
            requests=share,
            connections=CONNECTIONS,
            headers=headers,
            rate=RATE,
        )
        for number in numbers
    ]
    statuses = [status for each in loads for status in each.statuses]
    if set(statuses) != {200} or len(statuses) != share * ASKED:
        raise CheckFailedError(f"invoices were answered with {sorted(set(statuses))}")
    waits = [each for one in loads for each in one.waits]
    return Load(waits, statuses, sum(each.seconds for each in loads), sum(each.cpu for each in loads))


def pushed(bench: Bench, sizes: Sizes) -> tuple[int, int, float]:
    """Calls of the busiest second, how many there were, and how many a second all in all.

    Raises:
        CheckFailedError: the stand-in does not have each day as it was used.
    """
    month = Month(bench.installation("pushes", clickhouse=True), max(1, sizes.billing_pushes // len(METRICS)), 1)
    month.fill()
    with _stand_in(bench) as stripe:
        client = stripe.client().v1
        customers = [client.customers.create({"name": name}).id for name in month.names()]
        meters = {
            key: client.billing.meters.create(
                {
                    "display_name": key,
                    "event_name": key,
                    "event_time_window": "day",
                    "default_aggregation": {"formula": "sum"},
                }
            ).id
            for key in METRICS
        }
        month.write_catalog(customers, meters)
        settings = {"METERLINE_STRIPE_URL": stripe.url, "METERLINE_STRIPE_RATE": str(PUSHES_A_SECOND)}
        api = started(bench, month, **settings)
        told = done(api, Job.PUSH).told
        api.stop()
        names = dict(zip(customers, month.names(), strict=True))
        found = {(names[customer], metric): value for (customer, metric, _day), value in stripe.values().items()}
        if found != month.yesterday():
            raise CheckFailedError(f"Stripe does not have each day as it was used: {told}")
        seen = stripe.control("requests")["requests"]
    bench.remove(month.installation)
    times = sorted(each["at"] for each in seen if each["path"] == "/v1/billing/meter_events")
    most = max(bisect.bisect_left(times, at + 1) - number for number, at in enumerate(times))
    return most, len(times), (len(times) - 1) / (times[-1] - times[0])


@contextmanager
def _stand_in(bench: Bench) -> Iterator[StandIn]:
    stripe = StandIn(bench.folder)
    stripe.start()
    try:
        yield stripe
    finally:
        stripe.stop()


def ask(api: Running, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    request = urllib.request.Request(
        ingest.url_of(api, path),
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {ingest.KEY}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def _answers(api: Running, path: str) -> bool:
    try:
        ask(api, path)
    except urllib.error.HTTPError as error:
        with error:
            return False
    return True
