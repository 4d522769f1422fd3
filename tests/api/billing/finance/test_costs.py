"""Costs of days: they sum to the price of their period, whatever its plan, and change where usage comes later."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from tests.api.billing.finance.company import (
    DAY,
    FEES,
    INDIAN,
    LAST,
    MOVER,
    TODAY,
    UTCS,
    Part,
    Site,
    midnight,
    owed,
    parts,
)
from tests.support.streams import wait_until

PATH = "/v1/billing/daily-costs"
METRICS = ("calls", "disk", "people", "peak")
LEAST = Fraction(1, 10**18)
Key = tuple[str, str, str, str, str]  # day, tenant, metric (empty: the base fee), plan, start of the period


def computed(site: Site) -> dict[str, Any]:
    """The run, once ClickHouse has what it wrote."""
    run = site.run("costs")
    assert (run["state"], run["problems"]) == ("done", []), run
    written = int(run["result"]["written"])
    since = f"parseDateTime64BestEffort('{run['begun_at']}', 3, 'UTC')"
    sql = f"SELECT toUInt32(count()) AS n FROM {{db}}.daily_costs_raw FINAL WHERE computed_at >= {since}"
    wait_until(lambda: int(site.query(sql)[0]["n"]) == written, 60, f"{written} days are in ClickHouse")
    return run


def stored(site: Site) -> dict[Key, tuple[Decimal, Decimal]]:
    """Quantity and cost of everything that is there."""
    rows = site.query(
        "SELECT toString(day) AS d, tenant_id, metric, plan, toString(period_start) AS s, toString(quantity) AS q, "
        "toString(cost) AS c FROM {db}.daily_costs"
    )
    found = {
        (row["d"], row["tenant_id"], row["metric"], row["plan"], row["s"]): (Decimal(row["q"]), Decimal(row["c"]))
        for row in rows
    }
    assert len(found) == len(rows)
    return found


def key(part: Part, day: date, metric: str) -> Key:
    return day.isoformat(), part.tenant, metric, part.plan, f"{part.period[0]:%Y-%m-%d %H:%M:%S}.000"


def recounted(site: Site) -> dict[Key, tuple[Fraction, Fraction]]:
    """The same, of what was sent: each day costs what it adds to the price of its part."""
    found: dict[Key, tuple[Fraction, Fraction]] = defaultdict(lambda: (Fraction(0), Fraction(0)))
    for part in parts():
        begin = part.start
        until = min(part.end, TODAY)
        before = dict.fromkeys(METRICS, (Fraction(0), Fraction(0)))
        while begin < until:
            end = min(midnight(begin) + DAY, until)
            whole = (part.period[1] - part.period[0]) // timedelta(seconds=1)
            fee = FEES[part.plan] * Fraction((end - begin) // timedelta(seconds=1), whole)
            add(found, key(part, begin.date(), ""), (Fraction(0), fee))
            for metric in METRICS:
                number = site.sent.number(part, metric, end)
                now = (number, owed(part.plan, metric, number, part.share))
                priced = (part.plan == "team") or metric == "calls"
                if priced:
                    change = (now[0] - before[metric][0], now[1] - before[metric][1])
                    add(found, key(part, begin.date(), metric), change)
                before[metric] = now
            begin = end
    return {place: both for place, both in found.items() if any(both)}


def add(found: dict[Key, tuple[Fraction, Fraction]], place: Key, more: tuple[Fraction, Fraction]) -> None:
    quantity, cost = found[place]
    found[place] = (quantity + more[0], cost + more[1])


def check(site: Site) -> dict[Key, tuple[Decimal, Decimal]]:
    there, wanted = stored(site), recounted(site)
    assert there.keys() == wanted.keys()
    for place, (quantity, cost) in there.items():
        assert abs(Fraction(quantity) - wanted[place][0]) <= Fraction(1, 10**9), place
        assert abs(Fraction(cost) - wanted[place][1]) <= 2 * LEAST, place
    return there


def test_each_day_is_what_a_recount_says_and_days_sum_to_their_period_and_to_its_invoice(closed: Site) -> None:
    dry = closed.run("costs", dry_run=True)
    run = computed(closed)
    assert dry["result"] == run["result"]
    there = check(closed)
    sums: dict[tuple[str, str, str], Decimal] = defaultdict(Decimal)
    for (_day, tenant, metric, plan, start), (_quantity, cost) in there.items():
        sums[tenant, f"{plan} {metric}", start] += cost
    shown = 0
    for part in parts():
        if part.period[1] > TODAY:
            continue
        start = f"{part.period[0]:%Y-%m-%d %H:%M:%S}.000"
        for metric in METRICS:
            exact = owed(part.plan, metric, closed.sent.number(part, metric, part.end), part.share)
            assert abs(Fraction(sums[part.tenant, f"{part.plan} {metric}", start]) - exact) <= LEAST
        invoices = closed.get("/v1/invoices", tenant_id=part.tenant)["data"]
        (invoice,) = [each for each in invoices if each["from"] == f"{part.period[0]:%Y-%m-%dT%H:%M:%SZ}"]
        for line in (each for each in invoice["lines"] if each["plan"] == part.plan):
            exact = Fraction(sums[part.tenant, f"{part.plan} {line['metric'] or ''}", start])
            told = sum(
                Decimal(each["amount"])
                for each in closed.get("/v1/billing/changes-after-close", tenant_id=part.tenant)["data"]
                if (each["invoice"], each["metric"], each["start"]) == (invoice["number"], line["metric"], line["from"])
            )
            assert Decimal(line["amount"]) + told == Decimal(round(exact * 100)) / 100, line
            shown += 1
    assert shown > 10


def test_done_again_nothing_is_written_and_a_late_event_changes_its_period_from_its_day_on(closed: Site) -> None:
    computed(closed)
    assert closed.run("costs")["result"]["written"] == "0"
    before = stored(closed)
    late = LAST + 5 * DAY
    closed.late(UTCS, "calls", "77.125", late + timedelta(hours=4))
    run = computed(closed)
    assert 1 <= int(run["result"]["written"]) < 40
    after = check(closed)
    changed = {place for place in before.keys() | after.keys() if before.get(place) != after.get(place)}
    assert {(place[1], place[2]) for place in changed} == {(UTCS, "calls")}
    assert min(changed)[0] == f"{late:%Y-%m-%d}"
    assert closed.run("costs")["result"]["written"] == "0"


def test_a_day_that_two_periods_share_has_a_line_of_each(closed: Site) -> None:
    computed(closed)
    start = next(part.end for part in parts() if part.tenant == INDIAN)
    fees = [place for place in stored(closed) if place[:3] == (start.date().isoformat(), INDIAN, "")]
    assert len({place[4] for place in fees}) == (2 if midnight(start) < TODAY else 0)


def test_the_route_gives_the_same_in_pages_and_only_of_tenants_that_the_caller_reaches(closed: Site) -> None:
    computed(closed)
    there = stored(closed)
    since = LAST - DAY
    rows = closed.pages(PATH, **{"from": since.date().isoformat(), "limit": 37})
    assert [row["day"] for row in rows] == sorted(row["day"] for row in rows)
    found = {
        (
            row["day"],
            row["tenant_id"],
            row["metric"] or "",
            row["plan"],
            f"{datetime.fromisoformat(row['period_from']).astimezone(UTC):%Y-%m-%d %H:%M:%S}.000",
        ): (Decimal(row["quantity"]), Decimal(row["cost"]))
        for row in rows
    }
    assert found == there
    made = closed.api.client.post("/v1/keys", json={"role": "viewer", "tenants": [MOVER]}).json()["key"]
    mine = closed.api.client.get(PATH, params={"limit": 1000}, headers={"Authorization": f"Bearer {made}"})
    assert {row["tenant_id"] for row in mine.json()["data"]} == {MOVER}
    peak = closed.pages(PATH, **{"from": since.date().isoformat(), "metric": "peak", "tenant_id": UTCS, "limit": 1000})
    assert {(row["tenant_id"], row["metric"]) for row in peak} == {(UTCS, "peak")}
    for query, code in (
        ({"from": "2026-11-02", "to": "2026-11-02"}, "invalid_range"),
        ({"cursor": "WyJ4Il0"}, "invalid_cursor"),
        ({"from": "yesterday"}, "invalid_request"),
    ):
        answer = closed.api.client.get(PATH, params=query)
        assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text
    for query in ({"from": "0001-01-01", "to": "0001-01-02"}, {"from": "9999-12-30", "to": "9999-12-31"}):
        assert closed.get(PATH, **query)["data"] == []
