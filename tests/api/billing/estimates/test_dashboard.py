"""``GET /api/billing/dashboard``: its numbers are those of analytics and of what was sent, for whoever may see them."""

from __future__ import annotations

import base64
import hashlib
import random
import re
import uuid
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

import httpx
import pytest

from meterline_api.document4.names import METRICS
from tests.api.billing.estimates.site import HOUR, LAB, ORG, OTHER, WEEKLY, event, exact
from tests.api.dashboard.page import Element, number, percent, read, refers_outwards
from tests.api.process import ApiProcess
from tests.support.streams import wait_until

PATH: Final = "/api/billing/dashboard"
VIENNA: Final = ZoneInfo("Europe/Vienna")
ALERT: Final = "<script>alert(1)</script>"
FLOWS: Final = tuple(key for key in METRICS if key != "storage")


def page(api: ApiProcess, company: str, **query: str) -> Element:
    found = api.client.get(PATH, params={"companyId": company, **query})
    assert found.status_code == 200, found.text
    return read(found.content)


def with_analytics(api: ApiProcess, company: str) -> tuple[Element, dict[str, Any]]:
    """A page, and the analytics that were the same before and after it: storage and projections go on by the second."""
    found: list[tuple[Element, dict[str, Any]]] = []

    def still() -> bool:
        before, root, after = ask(), page(api, company), ask()
        found.append((root, after))
        return before == after

    def ask() -> dict[str, Any]:
        answer: dict[str, Any] = exact(api.client.get("/api/billing/analytics", params={"companyId": company}))
        return answer

    wait_until(still, 30, "nothing changes while the page is asked for")
    return found[-1]


@pytest.fixture(scope="module")
def sent(api: ApiProcess) -> tuple[str, dict[str, dict[str, Decimal]]]:
    """A company without a plan, and what it used on each of the last eight days in Vienna."""
    company, rng = f"dash-{uuid.uuid4().hex[:6]}", random.Random(4)
    known = {"id": company, "name": ALERT, "time_zone": "Europe/Vienna"}
    assert api.client.post("/v1/tenants", json=known).status_code == 201
    for metric in FLOWS:
        price = {"metric": metric, "tenant_id": company, "included": "0", "price_per_unit": "0.07", "currency": "USD"}
        assert api.client.put("/v1/quotas", json=price).status_code == 201
    now = datetime.now(UTC)
    wanted: dict[str, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    events = []
    for hours in range(1, 8 * 24, 5):
        at, metric = now - hours * HOUR, rng.choice(FLOWS)
        quantity = Decimal(rng.randrange(1, 10**6)) / 100
        wanted[f"{at.astimezone(VIENNA).date()}"][metric] += quantity
        events.append(event(company, metric, str(quantity), at))
    answer = api.client.post("/v1/events", json=events)
    assert (answer.status_code, answer.json()["invalid"]) == (202, 0)

    def there() -> bool:
        span = {"start": (now - 200 * HOUR).strftime("%Y-%m-%dT%H:00:00Z"), "tenant_id": company}
        return sum(int(row["count"]) for row in exact(api.usage(**span))["data"]) == len(events)

    wait_until(there, 60, "all of it is counted")
    return company, wanted


def days(root: Element) -> Iterator[tuple[str, list[Decimal]]]:
    for row in root.one("table", "days").one("tbody").all("tr"):
        named = datetime.strptime(row.one("th").text, "%a, %d %B %Y").replace(tzinfo=VIENNA)
        yield f"{named.date()}", [number(cell.text) for cell in row.all("td")]


@pytest.mark.parametrize("company", [LAB, OTHER, WEEKLY, ORG])
def test_every_number_is_that_of_analytics(api: ApiProcess, company: str) -> None:
    root, found = with_analytics(api, company)
    current, trend = found["currentMonth"], found["trend"]
    month = root.one("section", "month")
    start = datetime.fromisoformat(current["startDate"])
    assert month.all("p")[0].text == f"Current month: {start:%B %Y}"
    assert number(month.one("p", "projected").text.removeprefix("Projected cost: ")) == found["projectedCost"]
    assert month.one("p", "projected").text.endswith(f" {found['currency']}")
    assert percent(month.one("p", "change").text) == trend["cost"]
    cards = root.one("ul", "cards").all("li")
    assert [card.one("h3").text for card in cards] == ["Orders", "Invoices", "Storage", "API Calls", "AI Jobs"]
    for card, named in zip(cards, METRICS.values(), strict=True):
        metric = current["metrics"][named.plural]
        digits = 3 if named.plural == "storage" else 9
        assert number(card.one("p", "count").text) == round(metric["count"], digits)
        assert percent(card.one("p", "change").text) == trend[named.plural]
        cost = card.one("p", "cost").text
        if cost == "no price":
            assert metric["cost"] == 0
            assert any(f"{named.plural}" in note for note in current["notes"])
        else:
            assert number(cost) == metric["cost"]
            assert cost.endswith(f" {found['currency']}")
    table = root.one("table", "breakdown")
    base, usage, *parts = [number(row.one("td").text) for row in table.one("tbody").all("tr")]
    assert (base, usage) == (current["baseFee"], current["totalUsageCost"])
    assert sum(parts) == usage
    assert number(table.one("tfoot").one("td").text) == base + usage == current["totalCost"]
    assert len(parts) == len(current["otherCosts"]) + sum(card.one("p", "cost").text != "no price" for card in cards)


def test_a_plan_of_another_currency_is_shown_in_it(api: ApiProcess) -> None:
    found = exact(api.client.get("/api/billing/analytics", params={"companyId": WEEKLY}))
    assert found["currency"] == found["currentMonth"]["currency"] == found["lastMonth"]["currency"] == "EUR"
    assert page(api, WEEKLY).one("p", "projected").text.endswith(" EUR")


def test_the_charts_are_what_was_sent_by_the_companys_own_days(
    api: ApiProcess, sent: tuple[str, dict[str, dict[str, Decimal]]]
) -> None:
    company, wanted = sent
    before, root, after = datetime.now(VIENNA).date(), page(api, company), datetime.now(VIENNA).date()
    table = dict(days(root))
    dates = list(table)
    assert dates in [[f"{day - timedelta(days=back)}" for back in reversed(range(7))] for day in (before, after)]
    for date in dates:
        assert table[date] == [wanted.get(date, {}).get(metric, Decimal(0)) for metric in METRICS], date
    pictures = root.all("svg")
    for picture, (place, named) in zip(pictures, enumerate(METRICS.values()), strict=True):
        values = [table[date][place] for date in dates]
        assert picture.one("title").text == f"{named.title} on each of the last 7 days"
        said = [text.rpartition(": ")[2] for text in picture.one("desc").text.split("; ")]
        assert [number(text) for text in said] == values
        heights = [Decimal(bar.attributes["height"] or "") for bar in picture.all("rect")]
        if most := max(values):
            wanted_heights = [max(value * 84 / most, Decimal("1.5")) if value else Decimal(0) for value in values]
            assert all(abs(a - b) < Decimal("0.01") for a, b in zip(heights, wanted_heights, strict=True))
        assert number(picture.all("text")[0].text) == max(values)


def test_a_level_is_the_mean_of_each_day(api: ApiProcess) -> None:
    company = f"level-{uuid.uuid4().hex[:6]}"
    noon = datetime.combine(datetime.now(UTC) - timedelta(days=3), time(12), UTC)
    readings = [event(company, "storage", "10", noon - timedelta(days=6)), event(company, "storage", "20", noon)]
    assert api.client.post("/v1/events", json=readings).status_code == 202

    def shown() -> dict[str, Decimal]:
        root = page(api, company)
        return {date: values[2] for date, values in days(root)} if root.all("svg") else {}

    def levels(dates: dict[str, Decimal]) -> dict[str, Decimal]:
        day = f"{noon.date()}"
        return {date: Decimal(10 if date < day else 15 if date == day else 20) for date in dates}

    wait_until(lambda: (found := shown()) != {} and found == levels(found), 60, lambda: str(shown()))


def test_a_company_that_named_itself_a_script_is_shown_by_its_name(
    api: ApiProcess, sent: tuple[str, dict[str, dict[str, Decimal]]]
) -> None:
    answer = api.client.get(PATH, params={"companyId": sent[0]})
    root = read(answer.content)
    assert (root.all("p", "name")[0].text, root.all("p", "id")[0].text) == (ALERT, f"Tenant {sent[0]}")
    assert "<script" not in answer.text
    assert root.one("head").one("title").text == f"Usage & billing – {ALERT}"
    assert refers_outwards(root) == []


def test_a_company_without_usage_has_a_page_that_says_so(api: ApiProcess) -> None:
    root = page(api, "nobody-yet")
    said = [each.text for each in root.all("p", "empty")]
    assert said == [
        "There is no usage of these metrics in this month yet.",
        "There is no usage of these metrics in the last 7 days.",
    ]
    assert [number(each.text) for each in root.all("p", "count")] == [0] * 5
    assert root.all("svg") == []


def test_the_headers_let_nothing_in_and_keep_nothing(api: ApiProcess) -> None:
    answer = api.client.get(PATH, params={"companyId": LAB})
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "private, no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    style = re.search(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy == {
        "default-src": "'none'",
        "style-src": f"'sha256-{digest}'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'self'",
    }
    root = read(answer.content)
    (own,) = [each for each in root.all("meta") if each.attributes.get("http-equiv") == "Content-Security-Policy"]
    said = dict(part.split(" ", 1) for part in (own.attributes["content"] or "").split("; "))
    assert said == {name: value for name, value in policy.items() if name != "frame-ancestors"}
    assert refers_outwards(root) == []
    assert "url(" not in style[1]
    assert "@import" not in style[1]


def test_links_lead_where_the_caller_may_go(api: ApiProcess) -> None:
    clients = {role: caller(api, role) for role in ("viewer", "finance", "producer")}
    wanted = {"viewer": ["text/csv"], "finance": ["text/csv", "application/pdf"]}
    try:
        for role, types in wanted.items():
            answer = clients[role].get(PATH)
            assert answer.status_code == 200, answer.text
            links = read(answer.content).all("a")
            names = ["View detailed report", "Download invoice"][: len(types)]
            assert [each.text.split(" INV")[0] for each in links] == names
            for link, media_type in zip(links, types, strict=True):
                opened = clients[role].get(link.attributes["href"] or "")
                assert opened.status_code == 200, opened.text
                assert opened.headers["content-type"].startswith(media_type)
            assert read(clients[role].get(PATH, params={"links": "false"}).content).all("a") == []
            foreign = clients[role].get(PATH, params={"companyId": OTHER})
            assert (foreign.status_code, foreign.json()["error"]["code"]) == (403, "permission_denied")
        refused = clients["producer"].get(PATH)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "permission_denied")
    finally:
        for client in clients.values():
            client.close()
    unnamed = api.client.get(PATH)
    assert (unnamed.status_code, unnamed.json()["error"]["code"]) == (422, "invalid_request")


def caller(api: ApiProcess, role: str) -> httpx.Client:
    """Stands for ``LAB`` alone."""
    key = api.client.post("/v1/keys", json={"role": role, "tenants": [LAB]}).json()["key"]
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.Client(base_url=api.client.base_url, headers=headers, timeout=30, trust_env=False)
