"""``meterline reconcile`` on topics and tables made by hand: exact as they are, and each planted fault is named."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from meterline_deploy.reconcile.report import Check, Difference, Report
from meterline_deploy.reconcile.run import Asked, reconcile
from meterline_deploy.reconcile.times import Period
from meterline_schemas.settings import ClickHouseSettings
from tests.deploy.ledger import START, Ledger, Row, plain, text


class Silent:
    def start(self, what: str, total: int) -> None: ...

    def advance(self, step: int) -> None: ...


@pytest.fixture
def ledger(kafka: str, prefix: str, migrated: ClickHouseSettings) -> Iterator[Ledger]:
    made = Ledger(kafka, prefix, migrated)
    made.fill()
    yield made
    made.close()


def look(ledger: Ledger, period: Period | None = None, *, wait: float = 0, limit: int = 100) -> Report:
    return reconcile(ledger.kafka, ledger.clickhouse, Asked(period or Period(), wait, limit), Silent())


def check(report: Report, name: str) -> Check:
    (found,) = [each for each in report.checks if each.name == name]
    return found


def wrong(report: Report) -> dict[str, list[str]]:
    """The kinds of differences by check; checks without any are left out."""
    return {each.name: [one.kind for one in each.differences] for each in report.checks if not each.exact}


def only(report: Report, name: str) -> Difference:
    (difference,) = check(report, name).differences
    return difference


def sql_time(moment: str) -> str:
    """Milliseconds, as ClickHouse prints them."""
    return datetime.fromisoformat(moment).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def an_event(ledger: Ledger) -> Row:
    """An on-time row that is not the least, the greatest or the last of its hour, and has no repeat."""
    for row in ledger.raw:
        total = ledger.totals.get(
            (row["tenant_id"], row["metric"], row["timestamp"][:13] + ":00:00Z", row["kafka_partition"])
        )
        copies = [each for each in ledger.raw if each["id"] == row["id"]]
        if (
            total
            and not row.get("late")
            and len(copies) == 1
            and row["id"] != total["last_id"]
            and row["quantity"] not in (total["min"], total["max"])
        ):
            return row
    raise AssertionError("no such event")


def delete(ledger: Ledger, table: str, where: str) -> None:
    ledger.command(f"ALTER TABLE {table} DELETE WHERE {where} SETTINGS mutations_sync = 2")


def test_what_agrees_is_exact_and_everything_was_compared(ledger: Ledger) -> None:
    report = look(ledger)
    assert report.exact, wrong(report)
    assert report.closing().startswith("exact:")
    standing = {(row["tenant_id"], row["metric"], sql_time(row["timestamp"]), row["id"]) for row in ledger.raw}
    assert check(report, "rows").compared == len(standing) < len(ledger.raw)
    assert check(report, "totals").compared == check(report, "totals topic").compared == len(ledger.totals)
    assert check(report, "lines").compared == sum(line.lines for line in report.partitions) == 296
    assert check(report, "rejects").compared == 32
    assert check(report, "answers").compared >= len(ledger.totals)


def test_nothing_judged_yet_is_exact_and_said_so(kafka: str, prefix: str, migrated: ClickHouseSettings) -> None:
    ledger = Ledger(kafka, prefix, migrated)
    ledger.produce(0, b'{"not": "judged"}')
    report = look(ledger)
    ledger.close()
    assert report.exact
    assert report.closing() == "exact: nothing has been judged yet; 1 records are not judged yet"


def test_a_verdict_on_a_partition_where_nothing_was_judged_is_named(
    kafka: str, prefix: str, migrated: ClickHouseSettings
) -> None:
    ledger = Ledger(kafka, prefix, migrated)
    row = {**ledger.event("tenant"), "kafka_partition": 1, "kafka_offset": 0, "kafka_line": 0}
    ledger.write("usage.accepted", 1, json_line(row))
    report = look(ledger)
    ledger.close()
    assert wrong(report) == {"lines": ["verdict on no line"]}


def test_a_row_deleted_in_clickhouse_is_named_with_its_quantity(ledger: Ledger) -> None:
    row = an_event(ledger)
    delete(ledger, "usage_events_raw", f"id = '{row['id']}'")
    report = look(ledger)
    assert wrong(report) == {"rows": ["missing in ClickHouse"], "totals": ["different"], "answers": ["different"]}
    missing = only(report, "rows")
    assert missing.key == {
        "tenant_id": row["tenant_id"],
        "metric": row["metric"],
        "timestamp": sql_time(row["timestamp"]),
        "id": row["id"],
    }
    assert missing.expected is not None
    assert missing.expected["quantity"] == row["quantity"]
    assert missing.expected["kafka_offset"] == str(row["kafka_offset"])
    assert missing.found is None
    total = ledger.totals[row["tenant_id"], row["metric"], row["timestamp"][:13] + ":00:00Z", row["kafka_partition"]]
    hour = only(report, "totals")
    assert hour.expected is not None
    assert hour.found is not None
    assert hour.found["sum"] == total["sum"]
    assert hour.expected["sum"] == plain(Decimal(total["sum"]) - Decimal(row["quantity"]))
    assert int(hour.found["count"]) - int(hour.expected["count"]) == 1
    assert "DIFFERENT:" in report.closing()
    ledger.insert("usage_events_raw", [row])
    assert look(ledger).exact, "written again, it agrees again"


def test_a_total_changed_in_clickhouse_is_named_with_both_sums(ledger: Ledger) -> None:
    key = min(ledger.totals)
    total = ledger.totals[key]
    raised = plain(Decimal(total["sum"]) + Decimal("0.000000001"))
    ledger.insert("usage_totals", [{**total, "sum": raised}])
    report = look(ledger)
    assert wrong(report) == {"totals": ["different"], "totals topic": ["different"], "answers": ["different"]}
    for name in ("totals", "totals topic"):
        difference = only(report, name)
        assert difference.expected is not None
        assert difference.found is not None
        assert (difference.expected["sum"], difference.found["sum"]) == (total["sum"], raised)
        assert difference.key["tenant_id"] == key[0]
        assert difference.key["hour"] == sql_time(key[2])[:-4]
    assert only(report, "answers").amounts().startswith("sum ")


def test_a_total_of_late_events_that_is_wrong_or_missing_is_named(ledger: Ledger) -> None:
    columns = "tenant_id, metric, hour, count, sum, min, max, last, last_timestamp, last_id"
    which = "(tenant_id, metric, hour) = (SELECT min((tenant_id, metric, hour)) FROM usage_late_totals)"
    ledger.command(
        f"INSERT INTO usage_late_totals ({columns}) "
        f"SELECT * REPLACE (count + 1 AS count, sum + 2 AS sum) FROM (SELECT {columns} FROM usage_late_totals FINAL) "
        f"WHERE {which}"
    )
    report = look(ledger)
    assert wrong(report) == {"late totals": ["different"], "answers": ["different"]}
    for name in ("late totals", "answers"):
        assert only(report, name).amounts().startswith("count ")
    delete(ledger, "usage_late_totals", which)
    assert wrong(look(ledger))["late totals"] == ["no total"]
    ledger.insert("usage_events_raw", ledger.raw)
    assert look(ledger).exact, "added up again, it agrees again"
    ledger.command(
        f"INSERT INTO usage_late_totals ({columns}) "
        f"SELECT * REPLACE ('nobody' AS tenant_id) FROM (SELECT {columns} FROM usage_late_totals FINAL) LIMIT 1"
    )
    assert wrong(look(ledger)) == {"late totals": ["total without rows"], "answers": ["answer without rows"]}


def test_a_total_that_was_never_written_is_named(ledger: Ledger) -> None:
    tenant, metric, hour, partition = key = min(ledger.totals)
    delete(ledger, "usage_totals", f"tenant_id = '{tenant}' AND metric = '{metric}' AND hour = '{sql_time(hour)[:-4]}'")
    report = look(ledger)
    missing = only(report, "totals")
    assert missing.kind == "no total"
    assert missing.expected is not None
    assert missing.expected["sum"] == ledger.totals[key]["sum"]
    assert missing.detail == f"partition {partition}"
    assert only(report, "totals topic").kind == "missing in ClickHouse"


def test_an_accepted_event_that_never_reached_the_sink_is_named(ledger: Ledger) -> None:
    row = ledger.event("tenant-0-0", quantity="12.345")
    ledger.lost.add(row["id"])
    ledger.judge(0, [(b'{"never": "written"}', [row])])
    report = look(ledger)
    missing = only(report, "rows")
    assert (missing.kind, missing.key["id"]) == ("missing in ClickHouse", row["id"])
    assert missing.expected is not None
    assert missing.expected["quantity"] == "12.345"
    assert wrong(report).keys() == {"rows", "totals", "answers"}


def test_an_accepted_line_doubled_in_the_topic_is_named_with_its_amount(ledger: Ledger) -> None:
    row = an_event(ledger)
    ledger.write("usage.accepted", row["kafka_partition"], json_line(row))
    report = look(ledger)
    assert wrong(report) == {"lines": ["several verdicts", "counts"]}
    doubled, counts = check(report, "lines").differences
    assert doubled.key == {
        "partition": str(row["kafka_partition"]),
        "offset": str(row["kafka_offset"]),
        "line": str(row["kafka_line"]),
    }
    assert doubled.found == {"verdicts": "2", "which": "accepted + accepted"}
    assert f"quantity {row['quantity']}" in doubled.detail
    assert row["id"] in doubled.detail
    assert counts.expected is not None
    assert counts.found is not None
    assert int(counts.found["accepted"]) - int(counts.expected["accepted"]) == 1


def test_an_event_that_was_accepted_twice_on_time_is_named(ledger: Ledger) -> None:
    row = an_event(ledger)
    copy = {name: value for name, value in row.items() if not name.startswith(("kafka", "received"))}
    ledger.judge(row["kafka_partition"], [(b'{"copy": 1}', [copy])])
    report = look(ledger)
    twice = only(report, "rows")
    assert (twice.kind, twice.key["id"]) == ("counted twice", row["id"])
    assert twice.found is not None
    assert twice.found["quantity"] == row["quantity"]
    assert wrong(report)["totals"] == ["different"], "the table keeps one, the total has two"


def test_a_line_without_a_verdict_is_named_and_shown(ledger: Ledger) -> None:
    line = b'{"id": "forgotten", "tenant_id": "tenant-1-1", "quantity": "3.5"}'
    offset = ledger.judge_without_verdict(1, line)
    report = look(ledger)
    assert wrong(report) == {"lines": ["no verdict", "counts"]}
    missing, counts = check(report, "lines").differences
    assert missing.key == {"partition": "1", "offset": str(offset), "line": "0"}
    assert line.decode() in missing.detail
    assert counts.expected is not None
    assert counts.found is not None
    assert int(counts.expected["accepted"]) - int(counts.found["accepted"]) == 1


def test_a_line_both_accepted_and_rejected_is_named(ledger: Ledger) -> None:
    row = an_event(ledger)
    place = {name: row[name] for name in ("kafka_partition", "kafka_offset", "kafka_line")}
    line = {"reason": "duplicate", "raw_sha256": "0" * 64, **place}
    ledger.write("usage.rejected", row["kafka_partition"], json_line(line))
    difference = check(look(ledger), "lines").differences[0]
    assert difference.found == {"verdicts": "2", "which": "accepted + rejected"}
    assert "reason duplicate" in difference.detail


def test_a_verdict_on_a_line_that_does_not_exist_is_named(ledger: Ledger) -> None:
    row = {**an_event(ledger), "id": "invented", "kafka_offset": 3, "kafka_line": 77}
    beyond = {**row, "id": "later", "kafka_offset": 5000, "kafka_line": 0}
    ledger.write("usage.accepted", row["kafka_partition"], json_line(row) + b"\n" + json_line(beyond))
    found = [each for each in check(look(ledger), "lines").differences if each.kind == "verdict on no line"]
    assert [(each.key["offset"], each.key["line"]) for each in found] == [("3", "77"), ("5000", "0")]


def test_what_is_no_verdict_at_all_is_named(ledger: Ledger) -> None:
    ledger.write("usage.accepted", 0, b"not json")
    ledger.write("usage.rejected", 1, json_line({**reject_row(ledger), "kafka_partition": 0}))
    found = [each for each in check(look(ledger), "lines").differences if each.kind == "unreadable"]
    assert [(each.key["topic"], each.key["partition"]) for each in found] == [
        ("usage.accepted", "0"),
        ("usage.rejected", "1"),
    ]


def test_an_aborted_transaction_leaves_no_verdict(ledger: Ledger) -> None:
    ledger.abort("usage.accepted", 0, json_line(an_event(ledger)))
    report = look(ledger)
    assert report.exact, wrong(report)


def test_forwarded_lines_are_a_verdict_however_often_they_were_delivered(ledger: Ledger) -> None:
    kept = ledger.event("tenant-0-1")
    offset = ledger.judge(0, [(b'{"belongs": "to 1"}\n{"stays": 1}', [kept])], forwarded=1)
    origin = f"0:{offset}:0".encode()
    arrived = ledger.event("tenant-1-1")
    ledger.judge(1, [(b'{"belongs": "to 1"}', [arrived])], meterline_origin=origin)
    ledger.judge(1, [(b'{"belongs": "to 1"}', ["duplicate"])], meterline_origin=origin)
    report = look(ledger)
    assert report.exact, [each.as_json() for each in check(report, "lines").differences]
    assert report.partitions[0].forwarded == 1


def test_a_forward_that_never_arrived_is_a_line_without_verdict(ledger: Ledger) -> None:
    offset = ledger.judge(0, [(b'{"belongs": "to 1"}', [])], forwarded=1)
    missing, counts = check(look(ledger), "lines").differences
    assert (missing.kind, missing.key["offset"]) == ("no verdict", str(offset))
    assert counts.amounts() == "forwarded 1 → 0"


def test_a_row_that_kafka_does_not_know_is_named(ledger: Ledger) -> None:
    row = an_event(ledger)
    ledger.insert("usage_events_raw", [{**row, "id": "invented", "quantity": "999"}])
    ledger.insert("usage_events_raw", [{**row, "id": "from-partition-9", "kafka_partition": 9}])
    ledger.insert("usage_events_raw", [{**row, "id": "from-the-future", "kafka_offset": 10**12}])
    report = look(ledger)
    found = {each.key["id"]: each for each in check(report, "rows").differences}
    assert found.keys() == {"invented", "from-partition-9", "from-the-future"}
    assert {each.kind for each in found.values()} == {"only in ClickHouse"}
    invented = found["invented"].found
    assert invented is not None
    assert invented["quantity"] == "999"


def test_a_row_with_another_quantity_subject_or_property_is_named(ledger: Ledger) -> None:
    row = next(each for each in ledger.raw if each.get("subject"))
    delete(ledger, "usage_events_raw", f"id = '{row['id']}'")
    other = {"quantity": "0.000000001", "subject": "another", "properties": {"region": "us"}}
    ledger.insert("usage_events_raw", [{**row, **other}])
    difference = only(look(ledger), "rows")
    assert difference.kind == "different"
    assert f"quantity {row['quantity']} → 0.000000001" in difference.amounts()
    assert "subject naïve 名 → another" in difference.amounts()
    assert "region=us" in difference.amounts()
    ledger.insert("usage_events_raw", [{**row, **other, "quantity": row["quantity"]}])
    assert wrong(look(ledger)) == {"rows": ["different"]}, "only the subject and the properties"


def test_a_late_copy_that_stands_in_place_of_the_one_on_time_is_named(ledger: Ledger) -> None:
    late = next(row for row in ledger.raw if row.get("late") and row["quantity"] == "7")
    delete(ledger, "usage_events_raw", f"id = '{late['id']}'")
    ledger.insert("usage_events_raw", [late])
    difference = check(look(ledger), "rows").differences[0]
    assert difference.key["id"] == late["id"]
    assert difference.kind in ("different", "another copy stands")
    assert "late 0 → 1" in difference.amounts()


def test_a_reject_that_is_missing_is_named(ledger: Ledger) -> None:
    row = reject_row(ledger)
    where = f"kafka_partition = 0 AND kafka_offset = {row['kafka_offset']} AND kafka_line = {row['kafka_line']}"
    delete(ledger, "rejected_events", where)
    report = look(ledger)
    assert wrong(report) == {"rejects": ["missing in ClickHouse"]}
    assert only(report, "rejects").key["kafka_line"] == str(row["kafka_line"])


def test_a_record_of_totals_that_the_table_does_not_have_is_named(ledger: Ledger) -> None:
    total = ledger.totals[min(ledger.totals)]
    ledger.write("usage.totals", total["kafka_partition"], json_line({**total, "max": "99999"}), b"key")
    report = look(ledger)
    assert wrong(report) == {"totals topic": ["different"]}
    assert only(report, "totals topic").amounts() == f"max 99999 → {total['max']}"


def test_a_view_that_answers_wrong_is_named(ledger: Ledger) -> None:
    ledger.command("DROP VIEW usage_hourly")
    ledger.command(
        "CREATE VIEW usage_hourly AS SELECT tenant_id, metric, hour, count + (tenant_id = 'tenant-0-0') AS count, sum, "
        "min, max, last, last_timestamp, last_id FROM usage_totals FINAL"
    )
    report = look(ledger)
    assert wrong(report).keys() == {"answers"}
    assert any(each.amounts().startswith("count ") for each in check(report, "answers").differences)


def test_a_sink_that_is_behind_is_named_and_the_rest_is_compared_up_to_there(ledger: Ledger) -> None:
    ledger.held_back = {"usage_events_raw", "usage_totals", "usage_progress"}
    row = ledger.event("tenant-0-0")
    ledger.judge(0, [(b'{"not": "written yet"}', [row])])
    report = look(ledger, wait=0.3)
    assert wrong(report) == {"progress": ["behind"] * 3}
    assert "1 offsets behind after 0.3 s" in check(report, "progress").differences[0].detail


def test_it_waits_for_a_sink_that_catches_up(ledger: Ledger) -> None:
    progress = ledger.progress_rows()
    delete(ledger, "usage_progress", "1")
    from threading import Timer

    later = Timer(1.0, lambda: ledger.insert("usage_progress", progress))
    later.start()
    report = look(ledger, wait=60)
    later.join()
    assert report.exact, wrong(report)


def test_totals_and_rows_that_are_ahead_of_the_watermark_are_compared_at_the_total_s_version(ledger: Ledger) -> None:
    """As under traffic: the tables hold more than the progress that was read, and rows more than totals."""
    delete(ledger, "usage_progress", "1")
    ledger.insert("usage_progress", [{**row, "next_offset": 5} for row in ledger.progress_rows()])
    ledger.held_back = {"usage_totals", "usage_progress"}
    tenant, _metric, hour, partition = min(ledger.totals)
    hours_on = int((datetime.fromisoformat(hour) - START) / timedelta(hours=1))
    ledger.judge(partition, [(b"{}", [ledger.event(tenant, hour=hours_on)]) for _ in range(4)])
    report = look(ledger)
    assert wrong(report) == {"progress": ["behind"] * 6}
    assert "still being counted" in check(report, "answers").notes[0]
    total = ledger.rows(f"SELECT version FROM usage_totals FINAL WHERE tenant_id = '{tenant}' LIMIT 1")
    assert total[0][0] > 5
    delete(ledger, "usage_totals", "1")
    wanted = [each for key, each in ledger.totals.items() if each["version"] <= 20]
    ledger.insert("usage_totals", [{**each, "count": each["count"] + 1} for each in wanted])
    assert check(look(ledger), "totals").count >= len(wanted)


def test_what_retention_took_is_told_and_the_rest_is_exact(ledger: Ledger) -> None:
    ledger.forget("usage.events", 0, 7)
    ledger.forget("usage.accepted", 1, ledger.end("usage.accepted", 1) // 2)
    report = look(ledger)
    assert report.exact, wrong(report)
    first, second = report.partitions
    assert (first.lines_from, first.rows_from) == (7, 0)
    assert second.lines_from == second.rows_from > 0
    notes = " ".join(check(report, "lines").notes)
    assert "partition 0: line by line from offset 7 on" in notes
    assert "partition 1: line by line from offset" in notes
    row = next(each for each in ledger.raw if each["kafka_partition"] == 0 and not each.get("late"))
    delete(ledger, "usage_events_raw", f"id = '{row['id']}'")
    assert only(look(ledger), "rows").key["id"] == row["id"], "the accepted topic reaches further back"


def test_from_and_to_limit_rows_by_when_they_were_received(ledger: Ledger) -> None:
    row = an_event(ledger)
    delete(ledger, "usage_events_raw", f"id = '{row['id']}'")
    time.sleep(0.01)  # so that the broker's milliseconds tell the two fillings apart
    middle = datetime.now(UTC)
    time.sleep(0.01)
    ledger.fill(2)
    after = look(ledger, Period(start=middle, end=None))
    assert "rows" not in wrong(after)
    assert 0 < check(after, "lines").compared < check(look(ledger), "lines").compared
    before = look(ledger, Period(start=None, end=middle))
    assert only(before, "rows").key["id"] == row["id"]
    twice = check(before, "lines").compared + check(after, "lines").compared - check(look(ledger), "lines").compared
    assert twice == 2 * 37, "the checkpoint after the end is looked at too, on both partitions"


def test_from_and_to_limit_totals_and_answers_by_the_hour_of_the_event(ledger: Ledger) -> None:
    key = min(ledger.totals, key=lambda each: each[2])
    ledger.insert("usage_totals", [{**ledger.totals[key], "count": 1000}])
    hour = datetime.fromisoformat(key[2])
    inside = look(ledger, Period(hour + timedelta(minutes=10), hour + timedelta(minutes=20)))
    assert only(inside, "totals").amounts().startswith("count ")
    assert check(inside, "totals").compared < len(ledger.totals)
    outside = look(ledger, Period(hour + timedelta(hours=1), None))
    assert {"totals", "totals topic", "answers"}.isdisjoint(wrong(outside))
    assert hour >= START
    assert text(hour) == key[2]


def test_no_more_differences_are_listed_than_asked_for_and_it_says_so(ledger: Ledger) -> None:
    ledger.command("TRUNCATE TABLE usage_events_raw")
    report = look(ledger, limit=3)
    rows = check(report, "rows")
    assert len(rows.differences) == 3
    assert rows.count > 3
    assert rows.at_least
    assert "at least" in report.closing()


def json_line(row: Row) -> bytes:
    import json

    return json.dumps(row).encode()


def reject_row(ledger: Ledger) -> Row:
    ((offset, line, reason, digest),) = ledger.rows(
        "SELECT kafka_offset, kafka_line, reason, raw_sha256 FROM rejected_events FINAL WHERE kafka_partition = 0 "
        "ORDER BY kafka_offset, kafka_line LIMIT 1"
    )
    return {
        "reason": reason,
        "kafka_partition": 0,
        "kafka_offset": offset,
        "kafka_line": line,
        "raw_sha256": digest,
    }
