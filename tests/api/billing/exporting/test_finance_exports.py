"""Exports for finance over HTTP: the same bytes as of the same moment, nothing twice, nothing missed, to the cent."""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pyarrow.parquet
import pytest

from meterline_schemas.audit.log import AuditLog
from meterline_schemas.roles import Role
from meterline_schemas.settings import KafkaSettings
from tests.api.billing.exporting.ledger import CURRENCIES, OCTOBER, TENANTS, Ledger
from tests.api.process import ApiProcess

KINDS = ("invoices", "invoice-lines", "journal")
FORMATS = ("csv", "ndjson", "parquet", "json")
AS_OF = "meterline-as-of"
PERIOD = {"from": OCTOBER.isoformat(), "to": (OCTOBER + timedelta(days=31)).isoformat()}


def pull(api: ApiProcess, kind: str, *, key: str = "", **query: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return api.client.get(f"/v1/exports/{kind}", params={"format": "ndjson", **query}, headers=headers)


def rows(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def pages(api: ApiProcess, kind: str, **query: Any) -> Iterator[httpx.Response]:
    answer = pull(api, kind, **query)
    while True:
        yield answer
        if "link" not in answer.headers:
            return
        answer = api.client.get(answer.links["next"]["url"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("format", FORMATS)
def test_two_pulls_as_of_one_moment_are_the_same_bytes_whatever_came_meanwhile(
    api: ApiProcess, ledger: Ledger, kind: str, format: str
) -> None:
    first = pull(api, kind, format=format, **PERIOD)
    bare = pull(api, kind, format=format, as_of=ledger.issued.isoformat(), **PERIOD)
    ledger.void(ledger.open()[0])
    ledger.invoice()
    again = pull(api, kind, format=format, as_of=first.headers[AS_OF], **PERIOD)
    assert (again.content, again.headers["etag"]) == (first.content, first.headers["etag"])
    assert again.headers[AS_OF] == first.headers[AS_OF]
    before_last = pull(api, kind, format=format, as_of=(ledger.issued - timedelta(seconds=2)).isoformat(), **PERIOD)
    assert before_last.content == bare.content
    assert pull(api, kind, format=format, **PERIOD).content != first.content
    same = {"If-None-Match": first.headers["etag"]}
    query = {"format": format, "as_of": first.headers[AS_OF], **PERIOD}
    assert api.client.get(f"/v1/exports/{kind}", params=query, headers=same).status_code == 304


@pytest.mark.parametrize("kind", KINDS)
def test_pages_do_not_shift_while_documents_come(api: ApiProcess, ledger: Ledger, kind: str) -> None:
    whole = rows(pull(api, kind))
    found: list[dict[str, Any]] = []
    for number, page in enumerate(pages(api, kind, limit=3)):
        found += rows(page)
        if number < 3:
            ledger.void(ledger.open()[0])
            ledger.invoice()
    assert found == whole
    (*_, last) = pages(api, kind, limit=4, format="json", as_of=page.headers[AS_OF])
    assert "next_cursor" not in last.json()


@pytest.mark.parametrize("kind", KINDS)
def test_pulls_of_what_changed_come_to_the_whole_with_nothing_twice(api: ApiProcess, ledger: Ledger, kind: str) -> None:
    key = {"invoices": ("number",), "invoice-lines": ("number", "line"), "journal": ("entry", "account")}[kind]
    held: dict[Any, dict[str, Any]] = {}
    seen: set[str] = set()
    since: dict[str, str] = {}
    for _time in range(12):
        answer = pull(api, kind, **since)
        for row in rows(answer):
            text = json.dumps(row, sort_keys=True)
            assert text not in seen
            seen.add(text)
            held[tuple(row[name] for name in key)] = row
        since = {"since": answer.headers[AS_OF]}
        whole = rows(pull(api, kind, as_of=answer.headers[AS_OF]))
        assert sorted(held.values(), key=str) == sorted(whole, key=str)
        ledger.grow()
    assert rows(pull(api, kind, since=pull(api, kind).headers[AS_OF])) == []


def test_the_journal_sums_to_the_invoices_and_every_document_is_balanced(api: ApiProcess, ledger: Ledger) -> None:
    entries = rows(pull(api, "journal"))
    documents: dict[str, dict[str, Any]] = {}
    query: dict[str, Any] = {"limit": 50}
    while True:
        page = api.client.get("/v1/invoices", params=query).json()
        documents |= {each["number"]: each for each in page["data"]}
        if "next_cursor" not in page:
            break
        query["cursor"] = page["next_cursor"]
    assert len(documents) == len(ledger.documents)
    owed: dict[str, Decimal] = defaultdict(Decimal)
    earned: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for row in entries:
        document = documents[row["number"]]
        line = document["lines"][row["line"] - 1]
        debit, credit = Decimal(row["debit"]), Decimal(row["credit"])
        assert {debit, credit} == {abs(Decimal(line["amount"])), Decimal(0)}
        assert row["currency"] == document["currency"]
        assert (row["tenant_id"], row["metric"]) == (document["tenant_id"], line["metric"])
        if row["account"] == "accounts-receivable":
            owed[row["number"]] += debit - credit
        else:
            earned[row["number"], row["account"]] += credit - debit
    for number, document in documents.items():
        total = Decimal(document["total"])
        assert owed[number] == total
        assert sum((each for (whose, _), each in earned.items() if whose == number), Decimal(0)) == total
    accounts = {row["account"] for row in entries}
    assert accounts == {
        "accounts-receivable", "revenue:base-fee", "revenue:other", "4010-orders", "4000-mail", "4000-+calls",
    }  # fmt: skip
    for number in ledger.voided:
        note = next(each for each in documents.values() if each["of"] == number)
        assert owed[number] + owed[note["number"]] == 0


def test_lines_sum_to_the_totals_of_the_invoices(api: ApiProcess, ledger: Ledger) -> None:
    as_of = pull(api, "invoices").headers[AS_OF]
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for row in rows(pull(api, "invoice-lines", as_of=as_of)):
        sums[row["number"]] += Decimal(row["amount"])
    assert sums == {row["number"]: Decimal(row["total"]) for row in rows(pull(api, "invoices", as_of=as_of))}


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_has_the_same_rows(api: ApiProcess, ledger: Ledger, kind: str) -> None:
    as_of = pull(api, kind).headers[AS_OF]
    by_format = {format: pull(api, kind, format=format, as_of=as_of) for format in FORMATS}
    wanted = rows(by_format["ndjson"])
    assert by_format["json"].json()["data"] == wanted
    fields = [list(row.values()) for row in csv.DictReader(io.StringIO(by_format["csv"].text, newline=""))]
    texts = [[said(value) for value in row.values()] for row in wanted]
    assert [[field.removeprefix("'") for field in row] for row in fields] == texts
    table = pyarrow.parquet.read_table(io.BytesIO(by_format["parquet"].content))
    for packed, row in zip(table.to_pylist(), wanted, strict=True):
        for name, value in row.items():
            found = packed[name]
            if isinstance(found, Decimal):
                assert found == Decimal(value)
            elif isinstance(found, datetime):
                assert found == datetime.fromisoformat(value)
            elif name == "tiers":
                assert (found and json.loads(found)) == value
            else:
                assert found == value


def said(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


@pytest.mark.parametrize("kind", KINDS)
def test_no_field_of_csv_is_a_formula_but_numbers_stay_numbers(api: ApiProcess, ledger: Ledger, kind: str) -> None:
    (head, *found) = csv.reader(io.StringIO(pull(api, kind, format="csv").text, newline=""))
    begins = {field[:1] for row in found for field in row}
    assert "'" in begins
    assert not begins & set("=+@\t")
    negative = {head[n] for row in found for n, field in enumerate(row) if field.startswith("-")}
    assert negative <= {"total", "amount", "quantity"}


def test_filters_choose_tenants_currencies_states_and_periods(api: ApiProcess, ledger: Ledger) -> None:
    everything = rows(pull(api, "invoices"))
    for query, test in (
        ({"tenant_id": "acme"}, lambda row: row["tenant_id"] == "acme"),
        ({"currency": "JPY"}, lambda row: row["currency"] == "JPY"),
        ({"status": "void"}, lambda row: row["number"] in ledger.voided),
        ({"status": "closed"}, lambda row: row["number"] not in ledger.voided),
        (PERIOD, lambda row: row["from"].startswith("2026-10")),
    ):
        wanted = [row for row in everything if test(row)]
        assert rows(pull(api, "invoices", **query)) == wanted != everything
        numbers = {row["number"] for row in wanted}
        assert {row["number"] for row in rows(pull(api, "invoice-lines", **query))} == numbers


def test_who_may_pull_and_whose(api: ApiProcess, ledger: Ledger) -> None:
    for role in Role:
        made = api.client.post("/v1/keys", json={"role": role, "tenants": ["acme"]}).json()["key"]
        for kind in KINDS:
            answer = pull(api, kind, key=made)
            if role not in (Role.FINANCE, Role.ADMIN):
                assert answer.status_code == 403
                continue
            assert {row["tenant_id"] for row in rows(answer)} == {"acme"}
            assert pull(api, kind, key=made, tenant_id=TENANTS[1]).status_code == 403


@pytest.mark.parametrize(
    "query",
    [
        {"as_of": "yesterday"},
        {"as_of": "2026-11-01T00:00:00"},
        {"as_of": "0001-01-01T00:00:00Z"},
        {"as_of": "2026-11-01T00:00:00Z~AAAA"},
        {"as_of": "2026-11-01T00:00:00Z~\x00"},
        {"since": "9999-12-31T23:59:59-23:59"},
        {"since": "2026-11-01T00:00:00Z", "status": "void"},
        {"from": "2026-11-01T00:00:00Z", "to": "2026-11-01T00:00:00Z"},
        {"from": "0001-01-01T00:00:00+10:00"},
        {"currency": "usd"},
        {"status": "draft"},
        {"limit": "0"},
        {"cursor": str(2**64)},
    ],
)
def test_what_is_no_pull_is_said_in_a_sentence(api: ApiProcess, query: dict[str, str]) -> None:
    answer = pull(api, "invoices", **query)
    assert answer.status_code == 422, answer.text
    assert answer.json()["detail"]


def test_a_pull_of_the_future_is_cut_to_now_and_one_of_the_past_is_empty(api: ApiProcess, ledger: Ledger) -> None:
    ahead = pull(api, "invoices", as_of="2100-01-01T00:00:00Z")
    assert datetime.fromisoformat(ahead.headers[AS_OF].partition("~")[0]) <= datetime.now(UTC)
    assert rows(ahead) == rows(pull(api, "invoices"))
    assert rows(pull(api, "invoices", as_of="2026-01-01T00:00:00Z")) == []
    assert set(CURRENCIES) == {row["tenant_id"] for row in rows(ahead)}


def test_each_pull_is_in_the_audit_log(api: ApiProcess, kafka: str, kafka_prefix: str, ledger: Ledger) -> None:
    answer = pull(api, "journal", tenant_id="acme")
    entry = AuditLog(KafkaSettings(kafka=kafka, topic_prefix=kafka_prefix)).head()
    assert entry is not None
    assert (entry.action, entry.resource_type, entry.tenant_id) == ("export.generated", "journal", "acme")
    assert answer.headers[AS_OF] in entry.encode().decode()
