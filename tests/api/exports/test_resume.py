"""Exports that are pulled in parts, break off, and go on."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from meterline_schemas.settings import ClickHouseSettings
from tests.api.exports.lines import FORMATS, Line, instant, read
from tests.api.exports.site import ELSEWHERE, LONG, MANY, MANY_RANGE, get, insert, ok, spare
from tests.api.process import KEY, ApiProcess
from tests.services.clickhouse import execute
from tests.support.streams import wait_until


@pytest.mark.parametrize(
    ("table", "form", "limit"),
    [("events", "csv", 151), ("events", "parquet", 400), ("usage", "json", 90), ("rejected-events", "ndjson", 25)],
)
def test_pages_have_every_row_once_and_in_order(api: ApiProcess, table: str, form: str, limit: int) -> None:
    whole = read(form, ok(get(api, table, format=form)))
    pages: list[dict[str, Any]] = []
    answer = get(api, table, format=form, limit=limit)
    while True:
        page = read(form, ok(answer))
        assert len(page) <= limit
        pages += page
        if "next" not in answer.links:
            break
        if form == "json":
            assert f"cursor={answer.json()['next_cursor']}" in answer.links["next"]["url"]
        answer = api.client.get(answer.links["next"]["url"])
    assert pages == whole


def test_a_cursor_can_be_made_of_the_last_row_that_came(api: ApiProcess) -> None:
    whole = read("ndjson", ok(get(api, "events", format="ndjson")))
    for place in range(3, len(whole), 150):
        key = [whole[place][name] for name in ("tenant_id", "metric", "timestamp", "id")]
        cursor = base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")
        assert read("ndjson", ok(get(api, "events", format="ndjson", cursor=cursor))) == whole[place + 1 :]


def test_pages_do_not_shift_under_events_that_come_between(api: ApiProcess, database: ClickHouseSettings) -> None:
    start = ELSEWHERE
    query = {"from": instant(start), "to": instant(start + timedelta(hours=1)), "format": "ndjson", "limit": 2}
    insert(database, [spare(start, n, offset=10_000 + n) for n in range(6)])
    answer = get(api, "events", **query)
    ids = [row["id"] for row in read("ndjson", ok(answer))]
    insert(database, [spare(start, n, offset=10_100 + n, id=f"id-{n}-between") for n in range(6)])
    while "next" in answer.links:
        answer = api.client.get(answer.links["next"]["url"])
        ids += [row["id"] for row in read("ndjson", ok(answer))]
    assert ids == [f"id-{n}" for n in range(6)]
    assert len(read("ndjson", ok(get(api, "events", **{**query, "limit": 100})))) == 12


@pytest.mark.parametrize(("table", "form"), [("events", "csv"), ("events", "json"), ("usage", "ndjson")])
def test_the_rest_of_a_file_completes_it_byte_by_byte(api: ApiProcess, table: str, form: str) -> None:
    whole = get(api, table, format=form)
    tag, size = whole.headers["etag"], len(ok(whole))
    ways: list[dict[str, Any]] = [{"headers": {"If-Range": tag}}, {"snapshot": tag}, {"headers": {"If-Match": tag}}]
    for how, first in zip(ways, (0, size // 2, size - 1), strict=True):
        headers = {"Range": f"bytes={first}-", **how.get("headers", {})}
        rest = get(api, table, format=form, **{**how, "headers": headers})
        assert rest.status_code == 206, rest.text
        assert rest.headers["content-range"] == f"bytes {first}-{size - 1}/{size}"
        assert rest.headers["etag"] == tag
        assert whole.content[:first] + rest.content == whole.content
    behind = get(api, table, format=form, headers={"Range": f"bytes={size}-", "If-Range": tag})
    assert (behind.status_code, behind.headers["content-range"]) == (416, f"bytes */{size}")


def test_what_changed_in_between_is_not_glued_together(api: ApiProcess, database: ClickHouseSettings) -> None:
    start = ELSEWHERE + timedelta(days=1)
    query = {"from": instant(start), "to": instant(start + timedelta(hours=1)), "format": "csv"}
    insert(database, [spare(start, n, offset=20_000 + n) for n in range(9)])
    first = get(api, "events", **query)
    resume = {"Range": "bytes=100-", "If-Range": first.headers["etag"]}
    insert(database, [spare(start, n, offset=20_100 + n, id=f"new-{n}") for n in range(3)])
    # new events are not of the file that was begun, which is still to be had
    rest = get(api, "events", headers=resume, **query)
    assert (rest.status_code, first.content[:100] + rest.content) == (206, first.content)
    # a row of it that is another one now makes another file of it
    insert(database, [Line("spare", "calls", start, "id-0", Decimal(5), offset=0)])
    rest = get(api, "events", headers=resume, **query)
    assert (rest.status_code, len(read("csv", rest.content))) == (200, 12)
    for how in ({"snapshot": first.headers["etag"]}, {"headers": {"If-Match": first.headers["etag"]}}):
        refused = get(api, "events", **query, **how)
        assert (refused.status_code, refused.json()["code"]) == (412, "export_changed")


def test_a_range_without_naming_the_file_is_answered_whole(api: ApiProcess) -> None:
    whole = get(api, "events")
    assert ok(get(api, "events", headers={"Range": "bytes=10-"})) == whole.content
    assert ok(get(api, "events", headers={"Range": "bytes=10-", "If-Range": '"other"'})) == whole.content
    assert ok(get(api, "events", headers={"Range": "bytes=10-20", "If-Range": whole.headers["etag"]})) == whole.content


def test_a_file_that_is_known_is_not_sent_again(api: ApiProcess) -> None:
    for form in FORMATS:
        tag = get(api, "events", format=form).headers["etag"]
        again = get(api, "events", format=form, headers={"If-None-Match": tag})
        assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(("form", "share"), [("csv", 0.8), ("ndjson", 0.3)])
def test_a_download_that_was_cut_goes_on_to_the_same_file(api: ApiProcess, form: str, share: float) -> None:
    query = {**MANY_RANGE, "format": form}
    whole = hashlib.sha256(ok(get(api, "events", **query))).hexdigest()
    tag, part = begin(api, share, **query)
    rest = get(api, "events", headers={"Range": f"bytes={len(part)}-", "If-Range": tag}, **query)
    assert rest.status_code == 206
    assert hashlib.sha256(part + rest.content).hexdigest() == whole
    assert len(read(form, part + rest.content)) == MANY


def begin(api: ApiProcess, share: float, **query: Any) -> tuple[str, bytes]:
    """The tag and the first part of a file, of which no more was taken."""
    part = b""
    headers = {"Accept-Encoding": "identity"}
    with api.client.stream("GET", "/v1/exports/events", params=query, headers=headers) as answer:
        size = int(answer.headers["content-length"])
        for piece in answer.iter_raw():
            part += piece
            if len(part) >= share * size:
                break
    assert len(part) < size
    return answer.headers["etag"], part


@pytest.mark.parametrize(
    ("form", "encoding"), [("csv", "identity"), ("ndjson", "gzip"), ("json", "identity"), ("parquet", "identity")]
)
def test_an_error_on_the_way_is_no_complete_file(
    api: ApiProcess, database: ClickHouseSettings, form: str, encoding: str
) -> None:
    view = f"{database.database}.usage_events"
    query = {**MANY_RANGE, "format": form, "consistent": "false"}
    with api.client.stream("GET", "/v1/exports/events", params=query, headers={"Accept-Encoding": encoding}) as answer:
        assert answer.status_code == 200
        execute(database, f"RENAME TABLE {view} TO {view}_away")
        try:
            with pytest.raises(httpx.RemoteProtocolError):
                for _piece in answer.iter_raw():
                    pass
        finally:
            execute(database, f"RENAME TABLE {view}_away TO {view}")
    wait_until(lambda: "/v1/exports/events was cut off: ClickHouse" in api.log(), 10, "the log says why")


def test_rows_that_change_on_the_way_make_no_complete_file(api: ApiProcess, database: ClickHouseSettings) -> None:
    with api.client.stream("GET", "/v1/exports/events", params={**MANY_RANGE, "format": "ndjson"}) as answer:
        assert answer.status_code == 200
        last = f"id-{MANY - 1}"
        moment = LONG + timedelta(seconds=MANY - 1)
        insert(database, [Line(f"tenant-{(MANY - 1) % 7}", "calls", moment, last, Decimal(5), partition=0, offset=0)])
        with pytest.raises(httpx.RemoteProtocolError):
            for _piece in answer.iter_raw():
                pass
    wait_until(lambda: "the rows changed while they were read" in api.log(), 10, "the log says why")


def test_curl_resumes_a_cut_file_and_fails_on_a_broken_one(
    api: ApiProcess, database: ClickHouseSettings, tmp_path: Path
) -> None:
    whole = get(api, "events", **MANY_RANGE)
    file = tmp_path / "events.csv"
    file.write_bytes(whole.content[:1_000_001])
    asked = httpx.URL(str(api.client.base_url.join("/v1/exports/events")), params=MANY_RANGE)
    command = ["curl", "-sS", "--noproxy", "*", "-H", f"Authorization: Bearer {KEY}", "-o", str(file)]
    pinned = str(asked.copy_merge_params({"snapshot": whole.headers["etag"]}))
    subprocess.run([*command, "-C", "-", pinned], check=True, timeout=60)
    assert file.read_bytes() == whole.content
    view = f"{database.database}.usage_events"
    slow = subprocess.Popen([*command, "--limit-rate", "1M", str(asked.copy_merge_params({"consistent": "false"}))])
    wait_until(lambda: 0 < file.stat().st_size < len(whole.content), 30, "a part has come")
    execute(database, f"RENAME TABLE {view} TO {view}_away")
    try:
        assert slow.wait(60) == 18  # a partial file
    finally:
        execute(database, f"RENAME TABLE {view}_away TO {view}")


def test_a_caller_who_goes_away_ends_the_reading(api: ApiProcess, database: ClickHouseSettings) -> None:
    """Nothing more is asked of ClickHouse: a view that is missing from then on is not missed."""
    before = api.log().count("was cut off")
    view = f"{database.database}.usage_events"
    with api.client.stream("GET", "/v1/exports/events", params={**MANY_RANGE, "consistent": "false"}) as answer:
        assert answer.status_code == 200
    running = "SELECT count() FROM system.processes WHERE query LIKE '%usage_events%' AND query NOT LIKE '%processes%'"
    wait_until(lambda: execute(database, running).strip() == "0", 30, "the page that was being read is read")
    execute(database, f"RENAME TABLE {view} TO {view}_away")
    execute(database, f"RENAME TABLE {view}_away TO {view}")
    assert api.client.get("/health/live").status_code == 200
    assert api.log().count("was cut off") == before
