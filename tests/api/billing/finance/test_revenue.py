"""Revenue of a company whose periods were closed: what its invoices say, and what its plans bring in each month."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from decimal import Decimal

from tests.api.billing.finance.company import BEGUN, DAY, INDIAN, LAST, MOVED, MOVER, THIS, UTCS, Site

REVENUE, MRR = "/v1/billing/revenue", "/v1/billing/mrr"
SECOND = timedelta(seconds=1)


def test_the_last_month_is_what_its_invoices_say_by_tenant_and_metric(closed: Site) -> None:
    period, following = f"{LAST:%Y-%m}", f"{THIS:%Y-%m}"
    months = {UTCS, MOVER, INDIAN}
    wanted: dict[tuple[str, str | None], Decimal] = defaultdict(Decimal)
    documents = [each for id in months for each in closed.get("/v1/invoices", tenant_id=id)["data"]]
    for document in documents:
        for line in document["lines"]:
            wanted[document["tenant_id"], line["metric"]] += Decimal(line["amount"])
    asked = {"from": period, "to": following, "group_by": ["tenant_id", "metric"]}
    rows = [row for row in closed.pages(REVENUE, limit=2, **asked) if row["tenant_id"] in months]
    assert {(row["tenant_id"], row["metric"]): Decimal(row["total"]) for row in rows} == wanted
    assert {row["currency"] for row in rows} == {"EUR"}
    assert {row["tenant_id"] for row in rows} == months
    assert sum(Decimal(row["total"]) for row in rows) == sum(Decimal(each["total"]) for each in documents)
    assert all(Decimal(row["base_fee"]) == 0 for row in rows if row["metric"] is not None)


def test_what_recurs_is_what_the_plans_cost_and_changes_with_them(closed: Site) -> None:
    def said(at: str) -> dict[str, tuple[str, int, str | None]]:
        found = closed.get(MRR, at=at)
        assert found["problems"] == []
        return {each["currency"]: (each["mrr"], each["tenants"], each["average"]) for each in found["data"]}

    assert said((LAST - 2 * DAY).isoformat()) == {}
    assert said((MOVED - SECOND).isoformat())["EUR"] == ("93.00", 3, "31.00")
    assert said(MOVED.isoformat())["EUR"] == ("72.00", 3, "24.00")
    assert said(BEGUN.isoformat())["USD"] == ("30.11", 1, "30.11")
    (mine,) = closed.get(MRR, at=MOVED.isoformat(), tenant_id=MOVER)["data"]
    assert [(each["plan"], each["base_fee"], each["tenants"], each["mrr"]) for each in mine["plans"]] == [
        ("solo", "10.00", 1, "10.00")
    ]


def test_an_instant_out_of_all_time_is_refused(closed: Site) -> None:
    for at in ("0001-01-01T00:00:00%2B10:00", "1970-12-31T23:59:59Z", "2200-01-01T00:00:00Z", "9999-12-31T23:59:59Z"):
        answer = closed.api.client.get(f"{MRR}?at={at}")
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_range"), answer.text
    assert closed.api.client.get(f"{MRR}?at=2199-12-31T23:59:59Z").status_code == 200
