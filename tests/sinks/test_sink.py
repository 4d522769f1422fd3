"""The real sink process between a real broker and a real database."""

from __future__ import annotations

import itertools
import json
import random
import signal
import time
from threading import Thread

import pytest
from confluent_kafka import Consumer

from tests.sinks.conftest import Tables
from tests.sinks.harness import ACCEPTED, REJECTED, TOPICS, TOTALS, Feed, Gate, Sinks
from tests.sinks.test_views import view
from tests.sinks.usage import Event, answers, checkpoints, events, standing
from tests.support.streams import wait_until

SECONDS = 60  # a condition that comes true at all does so well within this


def check(tables: Tables, lines: list[Event]) -> None:
    """The tables hold exactly what the stream said of these lines, and the views answer rightly."""
    written = checkpoints(lines, 40)
    for size in ("hour", "day", "month"):
        assert view(tables, size) == answers(lines, size)
    found = tables.rows("SELECT kafka_partition, kafka_offset FROM usage_events")
    assert sorted(found) == sorted((event.partition, event.offset) for event in standing(lines))
    rejects = [json.loads(line) for checkpoint in written for line in checkpoint.rejected]
    assert sorted(tables.rows("SELECT kafka_partition, kafka_offset, raw FROM rejected_events FINAL")) == sorted(
        (reject["kafka_partition"], reject["kafka_offset"], reject["raw"]) for reject in rejects
    )
    newest = {c.partition: json.loads(c.progress)["next_offset"] for c in written}
    assert dict(tables.rows("SELECT kafka_partition, complete_to_offset FROM usage_freshness")) == newest


def drained(feed: Feed) -> None:
    wait_until(feed.drained, SECONDS, "everything is committed")


def test_a_first_start_writes_all_that_was_there_before_it(feed: Feed, sinks: Sinks, tables: Tables) -> None:
    lines = events(1, 1000)
    feed.write(checkpoints(lines, 40))
    sinks.start("one")
    drained(feed)
    check(tables, lines)


def test_a_clean_stop_leaves_nothing_to_do_again(feed: Feed, sinks: Sinks, tables: Tables) -> None:
    lines = events(2, 400)
    feed.write(checkpoints(lines, 40))
    sinks.start("one")
    drained(feed)
    assert sinks.stop("one") == 0
    before = tables.rows("SELECT max(inserted_at), count() FROM usage_events_raw")
    sinks.start("one")
    wait_until(lambda: sinks.health("one")[0] == 200, SECONDS, "the sink is ready again")
    assert feed.drained()
    assert sinks.stop("one") == 0
    assert tables.rows("SELECT max(inserted_at), count() FROM usage_events_raw") == before
    check(tables, lines)


@pytest.mark.parametrize("step", ["before_insert", "before_late_totals", "after_insert", "after_commit"])
def test_dying_at_any_step_loses_and_doubles_nothing(feed: Feed, sinks: Sinks, tables: Tables, step: str) -> None:
    lines = events(3, 900)
    written = checkpoints(lines, 40)
    feed.write(written[:10])
    sinks.start("one", METERLINE_SINK_CRASH=step)
    assert sinks.exit_code("one") == -signal.SIGKILL
    all_tables = ("usage_events_raw", "rejected_events", "usage_totals", "usage_progress")
    rows = sum(tables.rows(f"SELECT count() FROM {table}")[0][0] for table in all_tables)  # whichever came first
    assert (rows > 0) == (step != "before_insert")
    if step == "before_late_totals":
        assert tables.rows("SELECT countIf(late) > 0 FROM usage_events_raw") == [(1,)]
        assert tables.rows("SELECT count() FROM usage_late_totals") == [(0,)]
        said = tables.rows("SELECT count() FROM usage_progress WHERE topic = 'usage.accepted'")
        assert said == [(0,)], "nothing says yet that they are there"
    # a batch of other topics that came first has no late events, and passes that step
    judged = {topic for topic, _ in feed.committed() if step != "before_late_totals" or topic == ACCEPTED}
    assert bool(judged) == (step == "after_commit"), "what is committed must be written before"
    feed.write(written[10:20])
    sinks.start("one", METERLINE_SINK_CRASH=step)
    assert sinks.exit_code("one") == -signal.SIGKILL
    sinks.start("one", METERLINE_SINK_CRASH=f"{step}:2", METERLINE_SINK_FLUSH_BYTES="2000")
    wait_until(lambda: feed.drained() or sinks.ended("one"), SECONDS, "it works or dies at its second batch")
    feed.write(written[20:])
    assert sinks.exit_code("one") == -signal.SIGKILL
    sinks.start("one")
    drained(feed)
    check(tables, lines)


def test_kills_at_random_moments_under_load(feed: Feed, sinks: Sinks, tables: Tables) -> None:
    chance = random.Random(11)
    lines = events(4, 3000)
    writing = Thread(target=feed.write, args=(checkpoints(lines, 40),))
    writing.start()
    for _ in range(5):
        sinks.start("one", METERLINE_SINK_FLUSH_BYTES=str(chance.choice([1, 5000, 10**7])))
        wait_until(lambda: sinks.health("one")[0] == 200, SECONDS, "the sink is ready")
        moved = feed.committed()
        if not feed.drained():
            wait_until(lambda moved=moved: feed.committed() != moved, SECONDS, "the sink moves")  # type: ignore[misc]
        sinks.kill("one")
    sinks.start("one")
    writing.join()
    drained(feed)
    check(tables, lines)


def test_sinks_that_come_and_go_while_others_work(feed: Feed, sinks: Sinks, tables: Tables) -> None:
    lines = events(5, 3000)
    written = checkpoints(lines, 40)
    quarter = len(written) // 4
    sinks.start("one", METERLINE_SINK_WORKER_ID="")
    sinks.start("two", METERLINE_SINK_WORKER_ID="")
    feed.write(written[:quarter])

    def shared() -> bool:
        return all(sinks.health(name)[1].get("partitions", 0) > 0 for name in ("one", "two"))

    wait_until(shared, SECONDS, "both have partitions")
    feed.write(written[quarter : 2 * quarter])
    sinks.kill("one")
    feed.write(written[2 * quarter : 3 * quarter])
    sinks.start("three", METERLINE_SINK_WORKER_ID="", METERLINE_SINK_FLUSH_BYTES="4000")
    feed.write(written[3 * quarter :])
    wait_until(lambda: sinks.health("three")[1].get("partitions", 0) > 0, SECONDS, "the third has partitions")
    assert sinks.stop("two") == 0
    drained(feed)
    check(tables, lines)


def test_a_sink_that_was_frozen_and_replaced_does_no_harm_when_it_wakes(
    feed: Feed, sinks: Sinks, tables: Tables
) -> None:
    lines = events(6, 1200)
    written = checkpoints(lines, 40)
    frozen = sinks.start("one", METERLINE_SINK_WORKER_ID="", METERLINE_SINK_FLUSH_BYTES="1000")
    feed.write(written[:20])
    wait_until(lambda: bool(feed.committed()), SECONDS, "the first sink has begun")
    frozen.send_signal(signal.SIGSTOP)
    sinks.start("two", METERLINE_SINK_WORKER_ID="")
    feed.write(written[20:])
    drained(feed)
    frozen.send_signal(signal.SIGCONT)
    wait_until(
        lambda: sinks.health("one")[0] == 200 and sinks.health("two")[0] == 200, SECONDS, "both are in the group"
    )
    drained(feed)
    check(tables, lines)


@pytest.mark.parametrize(("size", "seconds"), [("1", "0.01"), ("3000", "5"), ("33554432", "0.05")])
def test_however_batches_are_cut_the_tables_are_the_same(
    feed: Feed, sinks: Sinks, tables: Tables, size: str, seconds: str
) -> None:
    lines = events(7, 600)
    feed.write(checkpoints(lines, 40))
    sinks.start("one", METERLINE_SINK_FLUSH_BYTES=size, METERLINE_SINK_FLUSH_SECONDS=seconds)
    drained(feed)
    check(tables, lines)


def test_verdicts_of_aborted_transactions_are_never_written(feed: Feed, sinks: Sinks, tables: Tables) -> None:
    lines, never = events(8, 300), events(9, 300)
    kept, aborted = checkpoints(lines, 40), checkpoints(never, 40)
    for real, ghost in itertools.zip_longest(kept, aborted):
        if ghost is not None:
            feed.write([ghost], abort=True)
        if real is not None:
            feed.write([real])
    feed.write(aborted[:1], abort=True)
    sinks.start("one")
    drained(feed)
    check(tables, lines)
    # the control: they are in the log, and a reader that does not ask for committed ones sees them
    ghosts = {line for checkpoint in aborted for line in checkpoint.accepted}
    for isolation, seen in (("read_uncommitted", ghosts), ("read_committed", set())):
        values = [line for value in feed.values(ACCEPTED, isolation) for line in value.split(b"\n")]
        assert set(values) & ghosts == seen


def test_the_tables_can_be_rebuilt_from_the_topics(feed: Feed, sinks: Sinks, tables: Tables) -> None:
    lines = events(10, 1000)
    feed.write(checkpoints(lines, 40))
    sinks.start("one")
    drained(feed)
    before = tables.contents()
    assert sinks.stop("one") == 0
    for table in ("usage_events_raw", "usage_late_totals", "usage_totals", "rejected_events", "usage_progress"):
        tables.command(f"TRUNCATE TABLE {table}")
    feed.forget_group()
    sinks.start("one", METERLINE_SINK_FLUSH_BYTES="5000")
    drained(feed)
    assert tables.contents() == before
    check(tables, lines)


def test_an_outage_of_the_database_is_waited_out_in_the_group(
    feed: Feed, sinks: Sinks, tables: Tables, gate: Gate
) -> None:
    lines = events(11, 2000)
    written = checkpoints(lines, 40)
    sinks.start("one", METERLINE_SINK_FLUSH_BYTES="20000")
    feed.write(written[:40])
    drained(feed)
    gate.shut()
    feed.write(written[40:60])

    def waiting() -> bool:
        status, health = sinks.health("one")
        return status == 200 and "clickhouse" in health and "meterline_sink_paused 1.0" in sinks.metrics("one")

    wait_until(waiting, SECONDS, "it says that ClickHouse is away and holds reading")
    held, pending = feed.committed(), sinks.metric("one", "meterline_sink_pending_bytes")
    feed.write(written[60:])
    rejoined = sinks.log("one").count("reading")
    # longer than the session timeout: the membership must outlive it
    end = time.monotonic() + 8
    wait_until(lambda: time.monotonic() > end, 20, "eight seconds of outage")
    assert feed.committed() == held
    assert sinks.metric("one", "meterline_sink_pending_bytes") == pending, "memory must not grow with the outage"
    gate.opened()
    drained(feed)
    assert sinks.log("one").count("reading") == rejoined, "the outage must not cost the partitions"
    assert "clickhouse" not in sinks.health("one")[1]
    check(tables, lines)


def test_health_fails_when_offsets_stand_still_and_heals_by_itself(
    feed: Feed, sinks: Sinks, tables: Tables, gate: Gate
) -> None:
    lines = events(12, 400)
    written = checkpoints(lines, 40)
    sinks.start("one", METERLINE_SINK_STUCK_AFTER="1.5")
    feed.write(written[:10])
    drained(feed)
    wait_until(lambda: sinks.health("one")[0] == 200, SECONDS, "it is well")
    gate.shut()
    feed.write(written[10:])
    wait_until(lambda: sinks.health("one")[0] == 503, SECONDS, "it is stuck")
    health = sinks.health("one")[1]
    assert health["ready"] is True
    assert health["progressing"] is False
    assert "has stood at offset" in health["problem"]
    gate.opened()
    drained(feed)
    wait_until(lambda: sinks.health("one")[0] == 200, SECONDS, "it is well again")
    check(tables, lines)


def test_it_is_not_ready_before_it_has_partitions(feed: Feed, sinks: Sinks) -> None:
    sinks.start("one", METERLINE_KAFKA="127.0.0.1:9")
    wait_until(lambda: sinks.health("one")[0] == 503, SECONDS, "it answers")
    assert sinks.health("one")[1]["ready"] is False
    assert sinks.stop("one") == 0


def test_a_row_that_is_refused_is_named_and_nothing_behind_it_is_committed(
    feed: Feed, sinks: Sinks, tables: Tables
) -> None:
    lines = events(13, 400)
    written = checkpoints(lines, 40)
    feed.write(written[:15])
    odd = {**json.loads(lines[-1].line()), "id": "odd", "color": "green", "kafka_offset": 10**6, "late": 1}
    offset = feed.record(ACCEPTED, 1, json.dumps(odd).encode())
    feed.write(written[15:])
    sinks.start("one")
    wait_until(lambda: sinks.health("one")[0] == 503, SECONDS, "the refusal shows")

    def problem() -> str:
        return str(sinks.health("one")[1].get("problem", ""))

    wait_until(lambda: "refuses" in problem(), SECONDS, "the record is named")
    assert f"usage.accepted[1] offset {offset} for usage_events_raw" in problem()
    assert "color" in problem()
    assert feed.committed().get((ACCEPTED, 1), 0) <= offset
    assert 'meterline_sink_insert_failures_total{kind="refused"}' in sinks.metrics("one")
    # once the column is there it goes on by itself
    tables.command("ALTER TABLE usage_events_raw ADD COLUMN color String DEFAULT '' COMMENT 'for the test'")
    drained(feed)
    wait_until(lambda: sinks.health("one")[0] == 200, SECONDS, "it is well again")
    assert tables.rows("SELECT color FROM usage_events_raw WHERE id = 'odd'") == [("green",)]


@pytest.mark.parametrize("topic", TOPICS)
def test_records_that_were_deleted_before_they_were_written_stop_it(
    feed: Feed, sinks: Sinks, tables: Tables, topic: str
) -> None:
    written = checkpoints(events(14, 600), 40)
    feed.write(written[:15])
    sinks.start("one")
    drained(feed)
    assert sinks.stop("one") == 0
    first = feed.committed()[topic, 2]
    feed.write(written[15:])
    left = feed.ends()[topic, 2] - 1
    feed.delete_before(topic, 2, left)
    sinks.start("one")
    assert sinks.exit_code("one") == 1
    lost = f"offsets {first} to {left - 1} of {feed.prefix}{topic}[2] were deleted before they were written"
    assert lost in sinks.log("one")
    assert "Traceback" not in sinks.log("one")


def test_an_idle_partition_is_not_taken_for_lost_when_retention_empties_it(
    feed: Feed, sinks: Sinks, tables: Tables
) -> None:
    lines = events(15, 300)
    feed.write(checkpoints(lines, 40))
    sinks.start("one")
    drained(feed)
    assert sinks.stop("one") == 0
    for (topic, partition), end in feed.ends().items():
        feed.delete_before(topic, partition, end)
    sinks.start("one")
    wait_until(lambda: sinks.health("one")[0] == 200, SECONDS, "it is well")
    more = Event("late-tenant", "calls", lines[0].timestamp, "new", lines[0].quantity, False, 1, 10**6)
    feed.write(checkpoints([more], 1))
    drained(feed)
    assert tables.rows("SELECT kafka_offset FROM usage_events WHERE id = 'new'") == [(10**6,)]


def test_a_partition_that_ends_before_what_was_committed_stops_it(feed: Feed, sinks: Sinks, tables: Tables) -> None:
    feed.write(checkpoints(events(16, 200), 40))
    sinks.start("one")
    drained(feed)
    assert sinks.stop("one") == 0
    feed.commit(TOTALS, 0, 10**6)
    sinks.start("one")
    assert sinks.exit_code("one") == 1
    assert "but was written up to 1000000" in sinks.log("one")


def test_wrong_settings_are_all_named_at_once(feed: Feed, sinks: Sinks) -> None:
    sinks.start(
        "one",
        METERLINE_SINK_FLUSH_SECONDS="soon",
        METERLINE_SINK_CRASH="sometimes",
        METERLINE_CLICKHOUSE_DATABASE="a b",
        METERLINE_TOPIC_PREFIX="a b",
    )
    assert sinks.exit_code("one") == 2
    for name in (
        "METERLINE_SINK_FLUSH_SECONDS",
        "METERLINE_SINK_CRASH",
        "METERLINE_CLICKHOUSE_DATABASE",
        "METERLINE_TOPIC_PREFIX",
    ):
        assert name in sinks.log("one")
    assert "Traceback" not in sinks.log("one")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("METERLINE_CLICKHOUSE_URL", "nonsense", "write it like http://127.0.0.1:8123"),
        ("METERLINE_KAFKA_CONFIG", '{"no.such.property": "1"}', "METERLINE_KAFKA_CONFIG is wrong"),
    ],
)
def test_settings_that_only_a_client_can_judge_end_it_with_a_sentence(
    feed: Feed, sinks: Sinks, name: str, value: str, says: str
) -> None:
    sinks.start("one", **{name: value})
    assert sinks.exit_code("one") == 2
    assert says in sinks.log("one")
    assert "Traceback" not in sinks.log("one")


def test_a_second_sink_under_the_same_name_shuts_the_first_out(feed: Feed, sinks: Sinks, tables: Tables) -> None:
    lines = events(17, 300)
    sinks.start("one", METERLINE_SINK_WORKER_ID="same")
    wait_until(lambda: sinks.health("one")[0] == 200, SECONDS, "the first is ready")
    sinks.start("two", METERLINE_SINK_WORKER_ID="same")
    feed.write(checkpoints(lines, 40))
    assert sinks.exit_code("one") == 1
    assert "METERLINE_SINK_WORKER_ID" in sinks.log("one")
    drained(feed)
    check(tables, lines)


def test_metrics_say_what_was_written_and_what_is_left(feed: Feed, sinks: Sinks, tables: Tables) -> None:
    lines = events(18, 300)
    feed.write(checkpoints(lines, 40))
    sinks.start("one", METERLINE_SINK_STUCK_AFTER="2")
    drained(feed)
    rejects = tables.rows("SELECT count() FROM rejected_events FINAL")[0][0]

    def told() -> bool:
        text = sinks.metrics("one")
        return all(
            part in text
            for part in (
                f'meterline_sink_rows_total{{table="usage_events_raw"}} {float(len(lines))}',
                f'meterline_sink_rows_total{{table="rejected_events"}} {float(rejects)}',
                'meterline_sink_lag{partition="0",topic="usage.accepted"} 0.0',
                "meterline_sink_paused 0.0",
                "meterline_sink_last_commit_timestamp_seconds 1",
                'meterline_sink_insert_seconds_count{table="usage_totals"}',
                f'meterline_sink_bytes_total{{table="{"usage_progress"}"}}',
            )
        )

    wait_until(told, SECONDS, "the metrics say it")
    assert REJECTED in sinks.metrics("one")


def test_retention_that_overtakes_a_waiting_sink_stops_it(feed: Feed, sinks: Sinks, tables: Tables, gate: Gate) -> None:
    written = checkpoints(events(19, 900), 40)
    feed.write(written[:10])
    sinks.start("one", METERLINE_SINK_FLUSH_BYTES="1")
    drained(feed)
    gate.shut()
    feed.write(written[10:20])
    wait_until(lambda: "meterline_sink_paused 1.0" in sinks.metrics("one"), SECONDS, "it holds reading")
    feed.write(written[20:])
    end = feed.ends()[ACCEPTED, 0]
    feed.delete_before(ACCEPTED, 0, end)
    gate.opened()
    assert sinks.exit_code("one") == 1
    assert f"{feed.prefix}{ACCEPTED}[0] were deleted before they were written" in sinks.log("one")
    assert "Traceback" not in sinks.log("one")


def test_a_sink_that_reads_a_topic_more_than_the_one_before_it_is_dealt_that_too(feed: Feed, sinks: Sinks) -> None:
    """A static member that comes back before its session has ended keeps what it had, whatever it subscribes to."""
    before = Consumer(
        {
            "bootstrap.servers": feed.bootstrap,
            "group.id": feed.group,
            "group.instance.id": "one",
            "partition.assignment.strategy": "range",
            "session.timeout.ms": 20_000,
        }
    )
    before.subscribe([feed.prefix + topic for topic in (ACCEPTED, REJECTED, TOTALS)])

    def dealt() -> bool:
        before.poll(0.1)
        return len(before.assignment()) == 3 * feed.partitions

    wait_until(dealt, 30, "the sink before it has its partitions")
    before.close()  # which a static member does without leaving the group
    sinks.start("one")
    wait_until(lambda: f"reading {len(list(feed.all_partitions()))} partitions" in sinks.log("one"), 60, "all are read")
    assert sinks.stop("one") == 0
