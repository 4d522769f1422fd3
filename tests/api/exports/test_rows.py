"""GET /v1/exports/… over a real ClickHouse: rows in every format, against an independent count of what was written."""

from __future__ import annotations

import base64
import gzip
import json
import sys
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.api.exports.lines import END, FORMATS, START, Line, fold, in_order, instant, read, typed
from tests.api.exports.site import LINES, METRICS, RANGE, get, ok
from tests.api.process import ApiProcess

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


@pytest.mark.parametrize("form", FORMATS)
def test_every_event_is_there_exactly_once_in_every_format(api: ApiProcess, form: str) -> None:
    answer = get(api, "events", format=form)
    assert list(typed(read(form, ok(answer)))) == in_order(LINES)
    assert answer.headers["x-total-count"] == str(len(LINES))
    assert answer.headers["content-disposition"].endswith(f'.{form}"')
    assert ok(get(api, "events", format=form)) == answer.content, "unchanged data is the same bytes"
    if form != "parquet":
        assert answer.headers["content-length"] == str(len(answer.content))


def test_csv_is_rfc_4180_and_values_stay_as_they_are(api: ApiProcess) -> None:
    answer = get(api, "events", headers={"Accept": "text/csv"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    head, _, rest = ok(answer).partition(b"\r\n")
    assert head.startswith(b"tenant_id,metric,timestamp,id,quantity,")
    assert rest.endswith(b"\r\n")
    assert b',"two\r\nlines' in rest
    assert {row["subject"] for row in read("csv", answer.content)} >= {"=1+2", "@x", " padded ", 'say "hi"'}


def test_parquet_has_real_decimals_and_instants(api: ApiProcess) -> None:
    schema = parquet.read_schema(pa.BufferReader(ok(get(api, "events", format="parquet"))))
    assert schema.field("quantity").type == pa.decimal128(38, 9)
    assert schema.field("timestamp").type == pa.timestamp("ms", tz="UTC")
    assert schema.field("late").type == pa.bool_()
    schema = parquet.read_schema(pa.BufferReader(ok(get(api, "usage", format="parquet"))))
    assert schema.field("sum").type == pa.decimal256(76, 9)
    assert schema.field("from").type == pa.timestamp("ms", tz="UTC")


@pytest.mark.parametrize(
    ("window", "form"), [("hour", "csv"), ("day", "parquet"), ("day", "ndjson"), ("month", "json"), ("month", "csv")]
)
def test_totals_equal_an_independent_count(api: ApiProcess, window: str, form: str) -> None:
    start, end = START + timedelta(hours=1), END - timedelta(hours=1)
    cut: Any = {"hour": {}, "day": {"hour": 0}, "month": {"hour": 0, "day": 1}}[window]
    groups: dict[tuple[bytes, str, datetime], list[Line]] = {}
    for one in LINES:
        if start <= one.timestamp < end:
            first = one.timestamp.replace(minute=0, second=0, microsecond=0, **cut)
            groups.setdefault((one.tenant_id.encode(), one.metric, max(first, start)), []).append(one)
    wanted = [expected(*key, group, window, end) for key, group in sorted(groups.items())]
    answer = get(api, "usage", window=window, format=form, **{"from": instant(start), "to": instant(end)})
    assert list(typed(read(form, ok(answer)))) == wanted


def expected(
    tenant: bytes, metric: str, first: datetime, group: list[Line], window: str, end: datetime
) -> dict[str, Any]:
    count, amount, least, greatest, last = fold(group)
    midnight = first.replace(hour=0)
    ends = {
        "hour": first + timedelta(hours=1),
        "day": midnight + timedelta(days=1),
        "month": (midnight.replace(day=1) + timedelta(days=32)).replace(day=1),
    }
    with localcontext() as context:
        context.prec = 100
        average = (amount / count).quantize(Decimal("1e-9"), ROUND_HALF_EVEN)
    return {
        "tenant_id": tenant.decode(),
        "metric": metric,
        "from": first,
        "to": min(ends[window], end),
        "aggregation": METRICS[metric].value,
        "unit": "u",
        "value": average if metric == "calls" else last.quantity,
        "count": count,
        "sum": amount,
        "min": least,
        "max": greatest,
        "last": last.quantity,
        "last_timestamp": last.timestamp,
        "last_id": last.id,
    }


def test_filters_narrow_it_down(api: ApiProcess) -> None:
    start, end = START + timedelta(minutes=61, milliseconds=7), END - timedelta(hours=3, milliseconds=1)
    query = {"from": instant(start), "to": instant(end), "tenant_id": "acme", "metric": "calls"}
    wanted = in_order(
        [one for one in LINES if (one.tenant_id, one.metric) == ("acme", "calls") and start <= one.timestamp < end]
    )
    assert wanted
    assert list(typed(read("ndjson", ok(get(api, "events", format="ndjson", **query))))) == wanted


def test_rejected_events_are_exported_too(api: ApiProcess) -> None:
    found = read("ndjson", ok(get(api, "rejected-events", format="ndjson")))
    assert sorted((row["kafka_partition"], row["kafka_offset"], row["raw"]) for row in found) == sorted(
        (one.partition, one.offset, one.id) for one in LINES[:50]
    )


@pytest.mark.parametrize(
    ("table", "form"), [("events", "csv"), ("usage", "json"), ("rejected-events", "ndjson"), ("usage", "parquet")]
)
def test_what_holds_nothing_is_a_file_without_rows(api: ApiProcess, table: str, form: str) -> None:
    answer = get(api, table, format=form, **{"from": "2001-01-01T00:00:00Z", "to": "2001-01-02T00:00:00Z"})
    assert read(form, ok(answer)) == []
    assert answer.headers["x-total-count"] == "0"


@pytest.mark.parametrize("form", ["csv", "ndjson", "json"])
def test_files_are_packed_where_the_caller_takes_it(api: ApiProcess, form: str) -> None:
    plain = ok(get(api, "events", format=form))
    with api.client.stream(
        "GET", "/v1/exports/events", params={**RANGE, "format": form}, headers={"Accept-Encoding": "gzip"}
    ) as answer:
        assert answer.headers["content-encoding"] == "gzip"
        assert gzip.decompress(b"".join(answer.iter_raw())) == plain
        packed = answer.headers["etag"]
    with api.client.stream(
        "GET", "/v1/exports/events", params={**RANGE, "format": form}, headers={"Accept-Encoding": "gzip;q=0.5, zstd"}
    ) as answer:
        assert zstd.decompress(b"".join(answer.iter_raw())) == plain
        assert len({packed, answer.headers["etag"], get(api, "events", format=form).headers["etag"]}) == 3


def test_a_file_can_be_had_without_a_first_pass(api: ApiProcess) -> None:
    for table, form in (("events", "csv"), ("usage", "json"), ("usage", "parquet")):
        answer, checked = get(api, table, format=form, consistent="false"), get(api, table, format=form)
        assert read(form, ok(answer)) == read(form, ok(checked))
        assert "etag" not in answer.headers


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", "text/csv"),
        ("*/*", "text/csv"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/csv"),
        ("application/json", "application/json"),
        ("text/csv;q=0.2, application/x-ndjson", "application/x-ndjson"),
        ("application/vnd.apache.parquet, */*;q=0.1", "application/vnd.apache.parquet"),
        ("text/csv;q=0, */*", "application/x-ndjson"),
    ],
)
def test_the_format_follows_the_header(api: ApiProcess, accept: str, media_type: str) -> None:
    answer = get(api, "usage", headers={"Accept": accept})
    assert answer.headers["content-type"].partition(";")[0] == media_type
    assert "Accept" in answer.headers["vary"]


def test_what_is_not_written_is_refused_with_what_is(api: ApiProcess) -> None:
    answer = get(api, "usage", headers={"Accept": "application/pdf, text/html"})
    assert (answer.status_code, answer.json()["code"]) == (406, "not_acceptable")
    for media_type in ("application/json", "text/csv", "application/vnd.apache.parquet", "application/x-ndjson"):
        assert media_type in answer.json()["detail"]


def made(api: ApiProcess, role: str, *tenants: str) -> str:
    answer = api.client.post("/v1/keys", json={"name": "k", "role": role, "tenants": list(tenants)})
    assert answer.status_code == 201, answer.text
    key: str = answer.json()["key"]
    return key


def test_callers_get_their_tenants_only_whatever_they_try(api: ApiProcess) -> None:
    key = made(api, "viewer", "acme")
    mine = in_order([one for one in LINES if one.tenant_id == "acme"])
    found = get(api, "events", key=key, format="ndjson")
    assert list(typed(read("ndjson", ok(found)))) == mine
    assert {row["tenant_id"] for row in read("csv", ok(get(api, "usage", key=key)))} == {"acme"}
    assert {row["tenant_id"] for row in read("csv", ok(get(api, "rejected-events", key=key)))} == {"acme"}
    cursor = base64.urlsafe_b64encode(json.dumps(["", "", instant(START), ""]).encode()).decode()
    assert list(typed(read("ndjson", ok(get(api, "events", key=key, format="ndjson", cursor=cursor))))) == mine
    everybodys = get(api, "events", format="ndjson").headers["etag"]
    assert get(api, "events", key=key, format="ndjson", snapshot=everybodys).status_code == 412
    refused = get(api, "events", key=key, tenant_id="beta")
    assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")


def test_a_file_about_everybody_is_for_finance(api: ApiProcess) -> None:
    assert get(api, "usage", key=made(api, "viewer", "*")).status_code == 403
    assert get(api, "usage", key=made(api, "viewer", "*"), tenant_id="acme").status_code == 200
    finance = get(api, "usage", key=made(api, "finance", "*"))
    assert ok(finance) == ok(get(api, "usage"))
    assert get(api, "usage", key=made(api, "producer", "acme")).status_code == 403


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"from": "2026-11-02T00:00:00Z", "to": "2026-11-01T00:00:00Z"}, 422, "invalid_range"),
        ({"from": "0001-01-01T00:00:00+14:00"}, 422, "invalid_range"),
        ({"to": "9999-12-31T23:59:59-14:00"}, 422, "invalid_range"),
        ({"from": "2026-11-01T00:00:00"}, 422, "invalid_request"),
        ({"limit": "0"}, 422, "invalid_request"),
        ({"limit": "1" * 40}, 422, "invalid_request"),
        ({"cursor": "x"}, 422, "invalid_cursor"),
        ({"cursor": "\x00"}, 422, "invalid_cursor"),
        ({"cursor": base64.b64encode(b'["a"]').decode()}, 422, "invalid_cursor"),
        ({"cursor": base64.b64encode(b'["a","b","9999-12-31T00:00:00-14:00","c"]').decode()}, 422, "invalid_cursor"),
        ({"cursor": base64.b64encode(b'{"after":[],"positions":1}').decode()}, 422, "invalid_cursor"),
        ({"snapshot": "x"}, 412, "export_changed"),
        ({"metric": "nothing"}, 404, "unknown_metric"),
        ({"metric": "\x00"}, 404, "unknown_metric"),
        ({"format": "pdf"}, 422, "invalid_request"),
    ],
)
def test_nonsense_is_refused_with_a_sentence(api: ApiProcess, query: dict[str, str], status: int, code: str) -> None:
    answer = get(api, "events", **query)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


@pytest.mark.parametrize("window", ["minute", "week", "billing", "PT1M", "P1W", "year"])
def test_a_window_that_a_file_does_not_have_is_refused(api: ApiProcess, window: str) -> None:
    answer = get(api, "usage", window=window)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request"), answer.text


@pytest.mark.parametrize("tenant_id", ["\x00", "'; --", "{x:String}", "\\", "名", "a\tb\nc"])
def test_any_text_can_be_asked_for(api: ApiProcess, tenant_id: str) -> None:
    for table in ("events", "usage", "rejected-events"):
        assert read("csv", ok(get(api, table, tenant_id=tenant_id))) == []


def test_totals_are_of_whole_hours(api: ApiProcess) -> None:
    answer = get(api, "usage", **{"from": instant(START + timedelta(minutes=5))})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_range")
    assert get(api, "events", **{"from": instant(START + timedelta(minutes=5))}).status_code == 200


def test_without_a_range_it_is_this_month(api: ApiProcess) -> None:
    now = datetime.now(UTC)
    answer = api.client.get("/v1/exports/usage", params={"tenant_id": "nobody"})
    assert f"usage_{now:%Y-%m}-01_" in answer.headers["content-disposition"]


USAGE: dict[str, Any] = {"group_by": "tenant_id", "window": "day", "limit": 10_000}


@pytest.mark.parametrize("form", ["csv", "ndjson", "parquet"])
def test_usage_is_the_same_in_every_format(api: ApiProcess, form: str) -> None:
    whole = api.client.get("/v1/usage", params={**RANGE, **USAGE}).json()["data"]
    answer = api.client.get("/v1/usage", params={**RANGE, **USAGE, "format": form})
    assert answer.headers["content-disposition"] == f'attachment; filename="usage_2026-10-29_2026-11-01.{form}"'
    found = list(typed(read(form, ok(answer))))
    assert found == list(typed(whole))
    assert len(found) > 10


def test_pages_of_usage_are_linked(api: ApiProcess) -> None:
    query = {**RANGE, **USAGE, "limit": 40}
    whole = read("csv", ok(api.client.get("/v1/usage", params={**RANGE, **USAGE}, headers={"Accept": "text/csv"})))
    answer = api.client.get("/v1/usage", params=query, headers={"Accept": "text/csv"})
    pages = read("csv", ok(answer))
    while "next" in answer.links:
        answer = api.client.get(answer.links["next"]["url"], headers={"Accept": "text/csv"})
        pages += read("csv", ok(answer))
    assert pages == whole
    assert api.client.get("/v1/usage", headers={"Accept": "text/html"}).status_code == 406
    assert api.client.get("/v1/usage").headers["content-type"] == "application/json"
