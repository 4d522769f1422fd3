"""Properties that nothing is kept of, through real processes: all is counted, and only the raw topic has them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from meterline_schemas.topics import EVENTS, TOPICS
from tests.api.judging import Judging, judging, line, recount
from tests.deploy.running import meterline
from tests.services.clickhouse import ClickHouseServer
from tests.support import cluster
from tests.support.recount import check_one_verdict_each

SECRET = "jo-4711@example.com"
LATE = (datetime.now(UTC) - timedelta(hours=9)).isoformat()


@pytest.fixture(scope="module")
def judged(
    kafka: str, clickhouse_server: ClickHouseServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Judging]:
    folder = tmp_path_factory.mktemp("denying")
    with judging(kafka, clickhouse_server, folder, METERLINE_DENIED_PROPERTIES="Email, contact") as found:
        yield found


def _line(id: str, **more: Any) -> bytes:
    return line(id, **{"properties": {"email": SECRET, "region": "eu"}, **more})


def _everything_kept(judged: Judging) -> str:
    """All topics but the raw one, and all tables."""
    pipeline = judged.pipeline
    texts = [
        ((message.key() or b"") + (message.value() or b"")).decode(errors="replace")
        for topic in TOPICS
        if topic.name != EVENTS
        for message in cluster.read_all(pipeline.bootstrap, pipeline.prefix + topic.name)
    ]
    tables = pipeline.query("SELECT name FROM system.tables WHERE database = '{db}' AND engine LIKE '%MergeTree'")
    assert len(tables) > 10
    rows = (pipeline.query(f"SELECT * FROM {{db}}.`{table['name']}`") for table in tables)
    return "\n".join([*texts, *(json.dumps(found, ensure_ascii=False) for found in rows)])


def test_they_are_nowhere_but_on_the_raw_topic_and_every_number_is_that_of_a_recount(judged: Judging) -> None:
    plain = [_line(f"p-{number}", quantity=f"{number}.25") for number in range(50)]
    judged.put(*plain)
    judged.put(
        _line("escaped").replace(b'"email"', b'"\\u0065mail"'),
        _line("upper", properties={"EMAIL": SECRET, "Contact": {"mail": SECRET}, "emails": "3"}),
        _line("alone", properties={"email": SECRET}),
        _line("late", timestamp=LATE),
        plain[7],
        _line("fax-1", metric="fax", quantity="1.50", email=SECRET),
    )
    judged.put(*plain[:3])  # repeats are rejects
    broken = _line("broken")[:-1], json.dumps([{"email": SECRET}]).encode()
    judged.put(*broken, partition=0)
    elsewhere = (judged.pipeline.home("acme") + 1) % judged.pipeline.partitions
    judged.put(_line("forwarded"), partition=elsewhere)
    judged.settle()
    check_one_verdict_each(judged.pipeline.bootstrap, judged.pipeline.prefix)

    raw = b"".join(
        message.value() or b""
        for message in cluster.read_all(judged.pipeline.bootstrap, judged.pipeline.prefix + EVENTS)
    )
    assert SECRET.encode() in raw
    kept = _everything_kept(judged)
    assert SECRET not in kept
    assert '"email"' not in kept.casefold()
    assert "contact" not in kept.casefold()

    assert judged.counted("orders") == recount(judged.sent, "orders")
    rows = judged.pipeline.query("SELECT id, properties FROM {db}.usage_events ORDER BY id")
    assert {row["id"]: row["properties"] for row in rows} == {
        **{f"p-{number}": {"region": "eu"} for number in range(50)},
        **{id: {"region": "eu"} for id in ("escaped", "late", "forwarded")},
        "upper": {"emails": "3"},
        "alone": {},
    }
    assert {row["reason"] for row in judged.rejected()} == {
        "duplicate",
        "unknown_metric",
        "invalid_json",
        "invalid_event",
    }

    made = judged.client.post("/v1/metrics", json={"key": "fax"})
    assert made.status_code == 201, made.text
    assert judged.replay()["replayed"] == 1
    judged.settle()
    assert judged.replay()["chosen"] == 0
    assert judged.counted("fax") == (1, Decimal("1.5"))
    assert SECRET not in _everything_kept(judged)
    _check_recounts(judged, counting=len(rows) + 1)


def _check_recounts(judged: Judging, counting: int) -> None:
    start = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    again = judged.client.post(
        "/v1/usage/aggregate", json={"period_type": "monthly", "period_start": start.isoformat()}
    )
    assert again.status_code == 200, again.text
    assert again.json()["differences"] == []
    done = meterline("reconcile", "--format", "json", more=judged.pipeline.environment("reconcile", {}))
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["verdict"].startswith("exact:")
    compared = {check["check"]: check["compared"] for check in report["checks"]}
    assert (compared["rows"], compared["lines"]) == (counting, len(judged.sent) + 2)  # one forwarded, one replayed


def test_a_metric_that_would_count_their_values_is_refused(judged: Judging) -> None:
    answer = judged.client.post(
        "/v1/metrics", json={"key": "readers", "aggregation": "unique_count", "unique_by": "email"}
    )
    assert answer.status_code == 422, answer.text
    assert "METERLINE_DENIED_PROPERTIES" in answer.text
    file = judged.pipeline._folder / "metrics.yaml"
    file.write_text("metrics: [{key: readers, aggregation: unique_count, unique_by: CONTACT}]\n")
    done = meterline("catalog", "apply", str(file), more=judged.pipeline.environment("command", {}))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "METERLINE_DENIED_PROPERTIES" in done.stderr
