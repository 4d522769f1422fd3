"""The life of events and rejected lines on the whole pipeline: what is told is what was sent."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import signal
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import pytest

from meterline_api.event_life.statements import Asked
from tests.api.judging import KEPT, Judging, Sent, judging, line, recount, same_instant
from tests.deploy.running import meterline
from tests.services.clickhouse import ClickHouseServer
from tests.support.pipeline import KEY
from tests.support.streams import wait_until

TWO_DAYS_AGO = datetime.now(UTC) - timedelta(days=2)
SLASHES = "path/to/é?x=1&y#z 100%"


@pytest.fixture(scope="module")
def judged(
    kafka: str, clickhouse_server: ClickHouseServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Judging]:
    """Lines of every fate, all of them judged and in ClickHouse. Tests add others; nobody changes these."""
    with judging(kafka, clickhouse_server, tmp_path_factory.mktemp("judged")) as found:
        home = found.pipeline.home("acme")
        first = line("e-1", quantity="2.50", subject="ann", source="shop", properties={"region": "eu", "n": 7})
        found.put(first)
        found.put(line("other"), first)
        found.put(line("e-1", tenant="globex", quantity="40"))
        found.put(line(SLASHES))
        found.put(line("l-1", metric="storage_gb", quantity="3", timestamp=TWO_DAYS_AGO.isoformat()))
        found.put(line("w-0", metric="api_calls"), line("w-1", metric="api_calls"), partition=(home + 1) % 4)
        found.put(line("u-1", metric="sms"), line("u-2", metric="sms", quantity="0.25"))
        found.put(line("u-1", tenant="globex", metric="sms", quantity="7"))
        found.put(line("u-3", metric="sms").replace(b", ", b",\n"))
        found.put(line("u-long", metric="sms", properties={"note": "x" * KEPT}))
        found.put(line("u-fax", metric="fax"))
        found.put(b"no json", b"\xff\xfe", b'{"id":"m-1"}', b'{"id":"m-2","tenant_id":"acme"}', partition=home)
        found.settle()
        found.put(first)
        found.put(line("a-1", quantity="5"))
        found.settle()
        yield found


def sent(judged: Judging, id: str, tenant: str = "acme") -> list[Sent]:
    """Every copy of an event, in the order of sending."""
    found = []
    for each in judged.sent:
        try:
            fields = each.fields
        except ValueError:
            continue
        if (fields.get("id"), fields.get("tenant_id")) == (id, tenant):
            found.append(each)
    return found


def places(appearances: list[dict[str, Any]]) -> list[tuple[int, int, int]]:
    return [(each["partition"], each["offset"], each["line"]) for each in appearances]


def received(appearance: dict[str, Any]) -> datetime:
    """As an instant: a text without a fraction sorts behind one with it."""
    return datetime.fromisoformat(appearance["received_at"])


# one event


def test_an_event_and_its_copies_are_told_in_the_order_in_which_they_came(judged: Judging) -> None:
    (life,) = judged.life("e-1", tenant_id="acme")
    copies = sent(judged, "e-1")
    assert places(life["appearances"]) == [copy.place for copy in copies]
    assert [each["verdict"] for each in life["appearances"]] == ["accepted", "rejected", "rejected"]
    assert [each["reason"] for each in life["appearances"]] == [None, "duplicate", "duplicate"]
    assert all(each["complete"] and each["topic"] == "usage.events" for each in life["appearances"])
    assert [each["forwarded_from"] for each in life["appearances"]] == [None] * 3
    assert (life["verdict"], life["reason"]) == ("accepted", None)
    (event,) = life["events"]
    fields = copies[0].fields
    assert {name: event[name] for name in ("metric", "quantity", "subject", "source", "properties", "late")} == {
        "metric": "orders",
        "quantity": "2.5",
        "subject": "ann",
        "source": "shop",
        "late": False,
        "properties": {"region": "eu", "n": "7"},
    }
    assert same_instant(event["timestamp"], fields["timestamp"])
    assert (event["invoice_line"], event["stripe_push"]) == (None, None)
    assert any("makes no invoices" in note for note in life["notes"])


def test_the_totals_of_an_event_are_those_that_usage_answers(judged: Judging) -> None:
    (life,) = judged.life("e-1", tenant_id="acme")
    (event,) = life["events"]
    assert [total["window"] for total in event["totals"]] == ["hour", "day", "month"]
    moment = datetime.fromisoformat(event["timestamp"])
    for total in event["totals"]:
        start, end = datetime.fromisoformat(total["from"]), datetime.fromisoformat(total["to"])
        assert start <= moment < end
        (row,) = judged.get("/v1/usage", tenant_id="acme", metric="orders", from_=total["from"], to=total["to"])["data"]
        assert (total["value"], total["count"]) == (row["value"], row["count"])
    # 2.5, other, the one with slashes, 5; unless an hour ended in between
    assert Decimal(event["totals"][2]["value"]) in (Decimal("9.5"), Decimal("2.5"))


def test_an_alert_names_the_events_that_may_have_made_it(judged: Judging) -> None:
    def told() -> list[dict[str, Any]]:
        return list(judged.life("a-1")[0]["events"][0]["alerts"])

    wait_until(lambda: bool(told()), 30, "the alert is in ClickHouse")
    (alert,) = told()
    assert (alert["type"], alert["threshold_id"], alert["step"]) == ("threshold.exceeded", "five", "100")
    (life,) = judged.life("e-1", tenant_id="acme")
    assert [each["id"] for each in life["events"][0]["alerts"]] == [alert["id"]]
    assert any("may have contributed" in note for note in life["notes"])
    (other,) = judged.life("e-1", tenant_id="globex")
    assert alert["id"] not in [each["id"] for each in other["events"][0]["alerts"]]
    (after,) = judged.put(line("after-the-alert"))
    judged.settle()
    assert judged.life(after.fields["id"])[0]["events"][0]["alerts"] == []


def test_a_late_event_is_said_to_be_added_afterwards(judged: Judging) -> None:
    (life,) = judged.life("l-1")
    assert (life["verdict"], [each["verdict"] for each in life["appearances"]]) == ("late", ["late"])
    (event,) = life["events"]
    assert (event["late"], event["added"], event["totals"][0]["value"]) == (True, "afterwards", "3")
    assert same_instant(event["timestamp"], TWO_DAYS_AGO.isoformat())


def test_an_event_on_a_partition_that_is_not_its_tenants_is_told_with_where_it_came_from(judged: Judging) -> None:
    for id in ("w-0", "w-1"):
        (life,) = judged.life(id)
        (copy,) = sent(judged, id)
        (appearance,) = life["appearances"]
        assert appearance["partition"] == judged.pipeline.home("acme")
        origin = appearance["forwarded_from"]
        assert places([origin]) == [copy.place]


def test_a_rejected_event_is_told_with_the_reason_and_the_line(judged: Judging) -> None:
    (life,) = judged.life("u-fax")
    (copy,) = sent(judged, "u-fax")
    assert (life["verdict"], life["reason"], life["events"]) == ("rejected", "unknown_metric", [])
    (appearance,) = life["appearances"]
    assert places([appearance]) == [copy.place]
    assert "fax" in life["detail"] == appearance["detail"]
    assert appearance["raw"].encode() == copy.value
    assert appearance["raw_sha256"] == hashlib.sha256(copy.value).hexdigest()


def test_an_id_with_slashes_is_found(judged: Judging) -> None:
    for path in (quote(SLASHES), quote(SLASHES, safe="")):
        (life,) = judged.life(path)
        assert (life["id"], life["verdict"]) == (SLASHES, "accepted")


def test_an_id_of_several_tenants_is_an_event_of_each(judged: Judging) -> None:
    found = judged.life("e-1")
    assert [(life["tenant_id"], life["events"][0]["quantity"]) for life in found] == [("acme", "2.5"), ("globex", "40")]
    assert [life["tenant_id"] for life in judged.life("e-1", tenant_id="globex")] == ["globex"]
    assert judged.life("e-1", metric="orders", from_=TWO_DAYS_AGO.isoformat()) == found
    early = judged.life("e-1", tenant_id="acme", to=TWO_DAYS_AGO.isoformat())
    assert [each["reason"] for each in early[0]["appearances"]] == ["duplicate", "duplicate"]


def test_what_is_not_there_is_said_to_be_pending_only_where_it_may_come(judged: Judging) -> None:
    answer = judged.client.get("/v1/events/nobody-sent-this")
    assert (answer.status_code, answer.json()["code"], answer.json()["pending"]) == (404, "not_found", False)
    judged.pipeline.signal("sink", signal.SIGSTOP)  # it keeps its partitions and writes nothing
    try:
        judged.put(line("soon", metric="api_calls"))
        answer = judged.client.get("/v1/events/soon")
        assert (answer.status_code, answer.json()["pending"]) == (404, True)
        assert answer.headers["Retry-After"] == "1"
    finally:
        judged.pipeline.signal("sink", signal.SIGCONT)
    wait_until(lambda: judged.client.get("/v1/events/soon").status_code == 200, 60, "it is found")


def test_an_event_that_was_just_acknowledged_is_waited_for(judged: Judging) -> None:
    answer = judged.client.post("/v1/events", json=json.loads(line("just-now", metric="api_calls")))
    assert answer.status_code == 202
    wait_until(lambda: judged.client.get("/v1/events/just-now").status_code == 200, 30, "it is found")


@pytest.mark.parametrize("id", ["%00", "%01%7F", "a'b%5C%22", "..%2F..", "%F0%9F%92%A9" * 60, "x" * 256])
def test_any_id_can_be_asked_for(judged: Judging, id: str) -> None:
    assert judged.client.get(f"/v1/events/{id}").status_code == 404


def test_wrong_parameters_are_named(judged: Judging) -> None:
    for path in ("/v1/events/" + "x" * 257, "/v1/events/", "/v1/events/x?from=yesterday", "/v1/events/x?tenant_id="):
        answer = judged.client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request"), path
    for moment in ("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"):
        assert judged.client.get("/v1/events/x", params={"from": moment, "to": moment}).status_code == 404


def test_the_command_tells_the_same_to_people(judged: Judging) -> None:
    folder = judged.pipeline.log("api").parent
    more = {"METERLINE_API_URL": str(judged.client.base_url), "METERLINE_API_KEY": KEY}
    done = meterline("event", "e-1", "--tenant", "acme", folder=folder, more=more)
    assert done.returncode == 0, done.stderr
    first, about, properties, *_more = done.stdout.splitlines()
    assert first == "e-1 of acme: accepted"
    assert about.startswith("  orders 2.5 at ")
    assert properties.split(", ")[:2] == ["  subject=ann", "source=shop"]
    for each in sent(judged, "e-1"):
        assert f"usage.events[{each.partition}] offset {each.offset} line {each.line} received" in done.stdout
    told = meterline("event", SLASHES, "--format", "json", folder=folder, more=more)
    assert [life["id"] for life in json.loads(told.stdout)["data"]] == [SLASHES]
    nothing = meterline("event", "nobody-sent-this", folder=folder, more=more)
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert "there is no event 'nobody-sent-this'" in nothing.stderr


def test_an_event_is_looked_up_by_an_index(judged: Judging) -> None:
    for statement, parameters in (Asked("e-1").events(), Asked("e-1").rejects()):
        for name, value in parameters.items():
            text = f"'{value}'" if isinstance(value, str) else str(value)
            statement = re.sub(rf"{{{name}:\w+}}", text, statement)
        database = judged.pipeline.clickhouse.database
        statement = re.sub(r"FROM (\w+)", rf"FROM {database}.\1", statement)
        plan = "\n".join(row["explain"] for row in judged.pipeline.query(f"EXPLAIN indexes = 1 {statement}"))
        assert "Name: event_id" in plan


# rejected lines


def test_every_rejected_line_is_listed_newest_first_whatever_the_size_of_a_page(judged: Judging) -> None:
    everything = judged.rejected()
    assert [received(each) for each in everything] == sorted(map(received, everything), reverse=True)
    known = {each.place: each.value for each in judged.sent}
    for each in everything:
        raw = base64.b64decode(each["raw"]) if each["raw_encoding"] == "base64" else each["raw"].encode()
        value = known[places([each])[0]]
        assert raw == value[:KEPT]
        assert (each["raw_bytes"], each["raw_sha256"]) == (len(value), hashlib.sha256(value).hexdigest())
    assert len({tuple(places([each])) for each in everything}) == len(everything)
    for size in (1, 3, 500):
        assert judged.rejected(limit=size) == everything
    first = Counter(each["reason"] for each in everything)
    assert first == {"unknown_metric": 6, "duplicate": 2, "invalid_json": 2, "invalid_event": 2}


def test_rejected_lines_are_filtered(judged: Judging) -> None:
    everything = judged.rejected()
    assert {each["id"] for each in judged.rejected(reason="duplicate")} == {"e-1"}
    assert len(judged.rejected(reason=["duplicate", "invalid_json"])) == 4
    assert {each["tenant_id"] for each in judged.rejected(id="u-1")} == {"acme", "globex"}
    assert [each["id"] for each in judged.rejected(metric="sms", tenant_id="globex")] == ["u-1"]
    middle = everything[4]
    since, before = judged.rejected(from_=middle["received_at"]), judged.rejected(to=middle["received_at"])
    assert since == [each for each in everything if received(each) >= received(middle)]
    assert before == [each for each in everything if received(each) < received(middle)]
    assert judged.rejected(from_="9999-12-31T00:00:00Z") == judged.rejected(to="0001-01-01T00:00:00Z") == []


def test_counts_are_those_of_the_lines(judged: Judging) -> None:
    everything = judged.rejected()

    def rows(**query: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            page = judged.get("/v1/rejected-events/counts", **query)
            found += page["data"]
            if "next_cursor" not in page:
                return found
            query["cursor"] = page["next_cursor"]

    assert {row["reason"]: row["lines"] for row in rows()} == Counter(each["reason"] for each in everything)
    for limit in (1, 1000):
        grouped = rows(group_by=["tenant_id", "metric", "reason"], window="hour", limit=limit)
        wanted = Counter((each["reason"], each["metric"], each["tenant_id"]) for each in everything)
        found: Counter[tuple[str, str, str]] = Counter()
        for row in grouped:
            found[row["reason"], row["metric"], row["tenant_id"]] += row["lines"]
        assert found == wanted
    day = rows(window="day", reason="duplicate", tenant_id="acme")
    assert sum(row["lines"] for row in day) == 2
    assert rows(to=TWO_DAYS_AGO.isoformat()) == []


# whose they are


def test_a_tenant_sees_its_own_events_and_no_others(judged: Judging) -> None:
    with judged.caller("viewer", "globex") as globex, judged.caller("viewer", "acme", "globex") as both:
        assert [life["tenant_id"] for life in judged.life("e-1", globex)] == ["globex"]
        assert [life["tenant_id"] for life in judged.life("e-1", both)] == ["acme", "globex"]
        for id in ("a-1", "u-fax", "m-1", "m-2"):
            assert globex.get(f"/v1/events/{id}").status_code == 404, id
        assert {each["tenant_id"] for each in judged.rejected(globex)} == {"globex"}
        assert {each["tenant_id"] for each in judged.rejected(both)} == {"acme", "globex"}
        assert {each["id"] for each in judged.rejected() if not each["tenant_id"]} == {"", "m-1"}
        counts = judged.get("/v1/rejected-events/counts", globex, group_by="tenant_id")["data"]
        assert [row["tenant_id"] for row in counts] == ["globex"]
        for path in ("/v1/events/e-1", "/v1/rejected-events", "/v1/rejected-events/counts"):
            answer = globex.get(path, params={"tenant_id": "acme"})
            assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied"), path
        # a cursor of somebody else's page shows nothing more
        page = judged.get("/v1/rejected-events", limit=1)
        assert {each["tenant_id"] for each in judged.rejected(globex, cursor=page["next_cursor"])} <= {"globex"}
        assert globex.post("/v1/rejected-events/replay", json={}).status_code == 403
    with judged.caller("producer", "acme") as producer:
        for path in ("/v1/events/e-1", "/v1/rejected-events", "/v1/rejected-events/counts"):
            assert producer.get(path).status_code == 403


# replay; last, because it changes what counts


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"reasons": ["duplicate"]}, "counted already"),
        ({"reasons": ["invalid_event"]}, "the line itself is wrong"),
        ({"reasons": ["nonsense"]}, "reasons.0"),
        ({"limit": 10_001}, "limit"),
        ({"places": []}, "places"),
        ({"places": [{"partition": -1, "offset": 2**63}]}, "places.0"),
        ({"tenant": "acme"}, "tenant"),
        ({"cursor": "x"}, "cursor"),
        ([], "object"),
    ],
)
def test_a_replay_that_cannot_be_is_refused_with_why(judged: Judging, body: object, said: str) -> None:
    answer = judged.client.post("/v1/rejected-events/replay", json=body)
    assert answer.status_code == 422
    assert said in answer.json()["detail"]


def test_events_of_a_metric_that_is_defined_later_count_once_however_often_they_are_replayed(judged: Judging) -> None:
    unknown = {"reason": "still_unknown", "detail": "the metric is still not defined for the tenant"}
    before = judged.replay()
    assert (before["matched"], before["chosen"], before["replayed"]) == (6, 0, 0)
    assert before["undefined_metrics"] == ["fax", "sms"]
    assert {**unknown, "count": 5} in before["skipped"]

    assert judged.client.post("/v1/metrics", json={"key": "sms", "name": "SMS"}).status_code == 201
    assert judged.counted("sms") == (0, Decimal(0))
    dry = judged.replay(dry_run=True)
    assert (dry["matched"], dry["chosen"], dry["replayed"]) == (6, 4, 0)
    assert {each["reason"]: each["count"] for each in dry["skipped"]} == {"still_unknown": 1, "too_long": 1}
    assert judged.replay(metric="sms", tenant_id="globex", dry_run=True)["chosen"] == 1
    assert judged.replay(to=TWO_DAYS_AGO.isoformat())["matched"] == 0

    for _ in range(2):  # the second before anybody knows of the first
        replayed, cursor = 0, None
        for _page in range(6):
            page = judged.replay(limit=1, **({"cursor": cursor} if cursor else {}))
            replayed, cursor = replayed + page["replayed"], page["next_cursor"]
            assert page["matched"] == 1
        assert cursor is None
    judged.settle()
    assert judged.counted("sms") == recount(judged.sent, "sms") == (4, Decimal("9.25"))
    again = judged.replay()
    assert (again["chosen"], again["matched"]) == (0, 6)
    assert {each["reason"]: each["count"] for each in again["skipped"]}["counted"] == 4

    (life,) = judged.life("u-1", tenant_id="acme")
    assert life["verdict"] == "accepted"
    first, second, *others = life["appearances"]
    assert (first["reason"], second["verdict"]) == ("unknown_metric", "accepted")
    assert {each["reason"] for each in others} <= {"duplicate"}
    (entry, *_more) = judged.get("/v1/audit", action="rejected_events.replayed")["data"]
    assert entry["actor"] == "root"


def test_single_lines_are_replayed_by_their_places(judged: Judging) -> None:
    assert judged.client.post("/v1/metrics", json={"key": "fax", "name": "Fax"}).status_code == 201
    (fax,) = sent(judged, "u-fax")
    _first, duplicate, *_later = sent(judged, "e-1")
    named = [{"partition": each.partition, "offset": each.offset, "line": each.line} for each in (fax, duplicate)]
    nowhere = {"partition": 3, "offset": 10**15}
    done = judged.replay(places=[*named, named[0], nowhere])
    assert (done["matched"], done["replayed"], done["not_found"]) == (2, 1, 1)
    assert [(each["reason"], each["count"]) for each in done["skipped"]] == [("duplicate", 1)]
    judged.settle()
    assert judged.counted("fax") == recount(judged.sent, "fax") == (1, Decimal(1))
