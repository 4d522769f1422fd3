"""Revenue over HTTP: to the cent what the documents say, whatever it is told apart by, in every format and page."""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pyarrow.parquet
import pytest

from meterline_schemas.audit.log import AuditLog
from meterline_schemas.billing.invoice import DocumentKind, Invoice
from meterline_schemas.roles import Role
from meterline_schemas.settings import KafkaSettings
from tests.api.billing.exporting.ledger import TENANTS, Ledger
from tests.api.process import ApiProcess

PATH = "/v1/billing/revenue"
ALL = {"from": "2025-01", "to": "2028-01"}
PARTS = ("base_fee", "usage", "adjustment", "manual", "credit")
GROUPS: tuple[list[str], ...] = ([], ["tenant_id"], ["metric"], ["tenant_id", "metric"])
ZONES = ("Pacific/Pago_Pago", "America/New_York", "UTC", "Asia/Kolkata", "Pacific/Auckland", "Pacific/Kiritimati")
Key = tuple[str | None, str | None, str, str]


def asked(api: ApiProcess, *, key: str = "", **query: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return api.client.get(PATH, params={**ALL, **query}, headers=headers)


def rows(api: ApiProcess, **query: Any) -> list[dict[str, Any]]:
    answer = asked(api, **query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


def month(document: Invoice) -> str:
    return f"{(document.end - timedelta(hours=12)).astimezone(UTC):%Y-%m}"


def before(period: str) -> str:
    return f"{datetime.fromisoformat(period + '-01') - timedelta(days=1):%Y-%m}"


def recounted(documents: list[Invoice], groups: list[str]) -> dict[Key, dict[str, Decimal]]:
    """By tenant, metric, currency and month."""
    found: dict[Key, dict[str, Decimal]] = defaultdict(lambda: dict.fromkeys(PARTS, Decimal(0)))
    for document in documents:
        for line in document.lines:
            tenant = document.tenant_id if "tenant_id" in groups else None
            metric = (line.metric or None) if "metric" in groups else None
            part = "credit" if document.kind is DocumentKind.CREDIT_NOTE else line.kind.value
            found[tenant, metric, document.currency, month(document)][part] += line.amount
    return dict(found)


def place(row: dict[str, Any]) -> Key:
    return row["tenant_id"], row["metric"], row["currency"], row["period"]


@pytest.mark.parametrize("groups", GROUPS)
def test_every_row_is_what_its_lines_come_to_and_grows_from_the_month_before(
    api: ApiProcess, ledger: Ledger, groups: list[str]
) -> None:
    found = rows(api, group_by=groups)
    wanted = recounted(ledger.documents, groups)
    assert len({place(row) for row in found}) == len(found)
    assert {place(row): {part: Decimal(row[part]) for part in PARTS} for row in found} == wanted
    grown = 0
    for row in found:
        assert Decimal(row["total"]) == sum(Decimal(row[part]) for part in PARTS)
        old = wanted.get((*place(row)[:3], before(row["period"])))
        if old is None:
            assert (row["previous"], row["growth"]) == (None, None)
            continue
        was, now = sum(old.values()), Decimal(row["total"])
        assert Decimal(row["previous"]) == was
        if was:
            assert abs(Decimal(row["growth"]) - (now - was) / abs(was) * 100) <= Decimal("0.05")
            grown += 1
        else:
            assert row["growth"] is None
    assert grown > 3


def test_a_month_is_to_the_cent_the_totals_of_its_documents(api: ApiProcess, ledger: Ledger) -> None:
    wanted: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for document in ledger.documents:
        wanted[document.currency, month(document)] += document.total
    found = {(row["currency"], row["period"]): row["total"] for row in rows(api)}
    assert {each: Decimal(total) for each, total in found.items()} == wanted
    digits = {"USD": 2, "JPY": 0, "KWD": 3}
    for (currency, _period), total in found.items():
        assert len(total.partition(".")[2]) == digits[currency]
    assert len({period for _currency, period in wanted}) > 5


def test_a_calendar_month_is_that_month_in_every_zone_and_a_period_that_of_its_end(
    api: ApiProcess, ledger: Ledger
) -> None:
    months = [
        ledger.invoice("acme", *(datetime(2027, each, 1, tzinfo=ZoneInfo(zone)).astimezone(UTC) for each in (7, 8)))
        for zone in ZONES
    ]
    anchored = ledger.invoice("acme", datetime(2027, 7, 15, tzinfo=UTC), datetime(2027, 8, 15, tzinfo=UTC))
    found = {row["period"]: Decimal(row["total"]) for row in rows(api, **{"from": "2027-06", "to": "2027-10"})}
    assert found == {"2027-07": sum(each.total for each in months), "2027-08": anchored.total}


def pages(api: ApiProcess, **query: Any) -> Iterator[httpx.Response]:
    answer = asked(api, **query)
    while True:
        assert answer.status_code == 200, answer.text
        yield answer
        if "link" not in answer.headers:
            return
        answer = api.client.get(answer.links["next"]["url"])


@pytest.mark.parametrize("groups", GROUPS)
def test_pages_come_to_the_whole(api: ApiProcess, ledger: Ledger, groups: list[str]) -> None:
    whole = rows(api, group_by=groups)
    found: list[dict[str, Any]] = []
    for page in pages(api, group_by=groups, limit=3):
        found += page.json()["data"]
        assert ("next_cursor" in page.json()) == ("link" in page.headers)
    assert found == whole


def test_every_format_says_the_same_and_no_field_is_a_formula(api: ApiProcess, ledger: Ledger) -> None:
    query: dict[str, Any] = {"group_by": ["tenant_id", "metric"]}
    wanted = rows(api, **query)
    lines = asked(api, **query, format="ndjson").text.splitlines()
    assert [json.loads(line) for line in lines] == wanted
    answer = asked(api, **query, format="csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    read = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert [{name: value.removeprefix("'") or None for name, value in row.items()} for row in read] == wanted
    assert not {row[name][:1] for row in read for name in ("tenant_id", "metric")} & set("=+@")
    table = pyarrow.parquet.read_table(io.BytesIO(asked(api, **query, format="parquet").content)).to_pylist()
    for row, shown in zip(table, wanted, strict=True):
        amounts = {name for name, value in row.items() if isinstance(value, Decimal)}
        assert amounts >= {*PARTS, "total"}
        assert {name: Decimal(shown[name]) if name in amounts else shown[name] for name in shown} == row


def test_months_tenants_and_metrics_are_chosen(api: ApiProcess, ledger: Ledger) -> None:
    everything = rows(api, group_by=["tenant_id", "metric"])
    for query, name, value in (
        ({"tenant_id": "acme"}, "tenant_id", "acme"),
        ({"metric": "+calls"}, "metric", "+calls"),
        ({"from": "2026-03", "to": "2026-04"}, "period", "2026-03"),
    ):
        wanted = [row for row in everything if row[name] == value]
        assert rows(api, group_by=["tenant_id", "metric"], **query) == wanted
        assert wanted


def test_without_months_it_is_twelve_up_to_the_last(api: ApiProcess, ledger: Ledger) -> None:
    answer = api.client.get(PATH, params={"format": "csv"})
    this = datetime.now(UTC)
    first, last = f"{this.year - 1}-{this.month:02}", f"{this.year}-{this.month:02}"
    assert f'filename="revenue_{first}_{last}.csv"' in answer.headers["content-disposition"]
    chosen = api.client.get(PATH, params={"format": "csv", "from": first, "to": last})
    assert chosen.text == answer.text


def test_who_may_ask_and_about_whom(api: ApiProcess, ledger: Ledger) -> None:
    for role in Role:
        made = api.client.post("/v1/keys", json={"role": role, "tenants": ["acme"]}).json()["key"]
        answer = asked(api, key=made, group_by="tenant_id")
        if role not in (Role.FINANCE, Role.ADMIN):
            assert answer.status_code == 403
            continue
        assert {row["tenant_id"] for row in answer.json()["data"]} == {"acme"}
        assert asked(api, key=made).json()["data"] == rows(api, tenant_id="acme")
        assert asked(api, key=made, tenant_id=TENANTS[1]).status_code == 403


def test_each_answer_is_in_the_audit_log(api: ApiProcess, kafka: str, kafka_prefix: str) -> None:
    log = AuditLog(KafkaSettings(kafka=kafka, topic_prefix=kafka_prefix))
    for path, what in ((PATH, "revenue"), ("/v1/billing/mrr", "mrr")):
        assert api.client.get(path, params={"tenant_id": "acme"}).status_code == 200
        entry = log.head()
        assert entry is not None
        assert (entry.action, entry.resource_type, entry.tenant_id) == ("billing.report.generated", what, "acme")


@pytest.mark.parametrize(
    "query",
    [
        {"from": "2026-13"},
        {"from": "2026-11-01"},
        {"from": "1969-12"},
        {"from": "２０２６-11"},
        {"from": "2026-11", "to": "2026-11"},
        {"group_by": "plan"},
        {"limit": "0"},
        {"cursor": "ÿ"},
        {"cursor": "WyJhY21lIl0"},
        {"tenant_id": ""},
    ],
)
def test_what_cannot_be_answered_is_said_in_a_sentence(api: ApiProcess, query: dict[str, str]) -> None:
    answer = asked(api, **query)
    assert answer.status_code == 422, answer.text
    assert answer.json()["detail"]
    assert asked(api, **{"from": "1970-01", "to": "2199-12"}).status_code == 200
