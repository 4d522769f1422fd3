"""Pushes to Stripe, accruals and exceptions as files."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from meterline_schemas.settings import ClickHouseSettings
from meterline_sinks.clickhouse import ClickHouse
from tests.api.process import ApiProcess

AS_OF = "meterline-as-of"
FIRST = datetime(2026, 11, 20, 1, tzinfo=UTC)


def pushed(database: ClickHouseSettings, offset: int, day: str, revision: int = 1, state: str = "delivered") -> None:
    """As the sink writes it."""
    row = {
        "tenant_id": "acme",
        "metric": "orders",
        "day": day,
        "customer": "cus_1",
        "meter": "mtr_1",
        "revision": revision,
        "value": 10 * revision,
        "state": state,
        "at": (FIRST + timedelta(seconds=offset)).isoformat().replace("+00:00", ".000Z"),
        "detail": "=refused" if state == "refused" else "",
        "kafka_offset": offset,
    }
    edge = ClickHouse(database, database.database)
    edge.insert("stripe_pushes_raw", json.dumps(row).encode())
    edge.close()


def pull(api: ApiProcess, kind: str, **query: Any) -> httpx.Response:
    return api.client.get(f"/v1/exports/{kind}", params={"format": "ndjson", **query})


def identifiers(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [json.loads(line)["identifier"][-13:] for line in answer.text.splitlines()]


def test_pushes_are_pulled_as_of_a_moment_or_refused_and_then_what_changed(
    api: ApiProcess, database: ClickHouseSettings
) -> None:
    for offset, day in enumerate(("2026-11-17", "2026-11-18", "2026-11-19")):
        pushed(database, offset, day)
    first = pull(api, "stripe-pushes")
    assert identifiers(first) == ["2026-11-17:r1", "2026-11-18:r1", "2026-11-19:r1"]
    page = pull(api, "stripe-pushes", limit=2)
    assert identifiers(page) + identifiers(api.client.get(page.links["next"]["url"])) == identifiers(first)
    pushed(database, 7, "2026-11-18", revision=2, state="refused")
    changed = pull(api, "stripe-pushes", as_of=first.headers[AS_OF])
    assert (changed.status_code, changed.json()["code"]) == (412, "export_changed")
    before = {"as_of": first.headers[AS_OF], "to": "2026-11-18T00:00:00Z"}
    assert identifiers(pull(api, "stripe-pushes", **before)) == ["2026-11-17:r1"]
    since = pull(api, "stripe-pushes", since=first.headers[AS_OF])
    assert identifiers(since) == ["2026-11-18:r2"]
    assert identifiers(pull(api, "stripe-pushes", since=since.headers[AS_OF])) == []
    assert identifiers(pull(api, "stripe-pushes", status="refused")) == ["2026-11-18:r2"]
    text = pull(api, "stripe-pushes", format="csv", status="refused").text
    assert ",20,refused,2026-11-20T01:00:07Z,'=refused," in text


def test_accruals_and_exceptions_are_files_too(api: ApiProcess) -> None:
    for kind in ("accruals", "exceptions"):
        for format in ("csv", "ndjson", "json", "parquet"):
            answer = pull(api, kind, format=format)
            assert answer.status_code == 200, answer.text
            assert "etag" not in answer.headers
        listed = api.client.get(f"/v1/billing/{kind}").json()["data"]
        rows = pull(api, kind, format="json").json()["data"]
        assert len(rows) == len(listed)
        assert pull(api, kind, as_of="then").status_code == (422 if kind == "accruals" else 200)
