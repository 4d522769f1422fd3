"""Tables through a real Kafka and a real worker: a file counts once however often and in whatever form it is sent."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.deploy.emitting import OPTIONS, TABLE, ids_of, written
from tests.deploy.running import meterline
from tests.services.kafka import create_topics
from tests.support.cluster import read_all
from tests.support.processes import Started
from tests.support.recount import answers_of_topics, check_one_verdict_each
from tests.support.streams import Streams, wait_until


@pytest.fixture
def environment(kafka: str, prefix: str) -> dict[str, str]:
    create_topics(kafka, prefix, 3)
    return {"METERLINE_KAFKA": kafka, "METERLINE_TOPIC_PREFIX": prefix}


def sent(environment: dict[str, str]) -> list[dict[str, Any]]:
    topic = environment["METERLINE_TOPIC_PREFIX"] + "usage.events"
    messages = read_all(environment["METERLINE_KAFKA"], topic)
    return [json.loads(line) for message in messages for line in (message.value() or b"").split(b"\n")]


def test_rows_are_sent_and_those_that_are_no_events_are_kept_beside(
    environment: dict[str, str], tmp_path: Path
) -> None:
    rejects = tmp_path / "rejects.csv"
    file = written(tmp_path, TABLE + "acme,oops,2026-11-01T10:00:00Z,eu\n")
    done = meterline("emit", file, *OPTIONS, "--rejects", str(rejects), more=environment)
    assert (done.returncode, done.stdout) == (1, "3 rows: 2 sent, 2 acknowledged, 1 invalid\n")
    assert sorted(each["id"] for each in sent(environment)) == sorted(ids_of(file))
    assert [row["rejected_row"] for row in csv.DictReader(io.StringIO(rejects.read_text()))] == ["3"]


def test_strict_sends_nothing_of_a_table_with_an_invalid_row(environment: dict[str, str], tmp_path: Path) -> None:
    file = written(tmp_path, TABLE + "acme,oops,2026-11-01T10:00:00Z,eu\n")
    done = meterline("emit", file, *OPTIONS, "--strict", more=environment)
    assert (done.returncode, done.stdout) == (1, "3 rows: 1 invalid, nothing sent (--strict)\n")
    assert sent(environment) == []
    done = meterline("emit", written(tmp_path, TABLE), *OPTIONS, "--strict", more=environment)
    assert (done.returncode, done.stdout) == (0, "2 rows: 2 sent, 2 acknowledged, 0 invalid\n")
    assert meterline("emit", "-", "--format", "csv", *OPTIONS, "--strict", text=TABLE).returncode == 2


def test_a_file_that_breaks_off_sends_what_came_before_and_says_where(
    environment: dict[str, str], tmp_path: Path
) -> None:
    done = meterline("emit", written(tmp_path, TABLE + '"'), *OPTIONS, more=environment)
    assert (done.returncode, done.stdout) == (1, "2 rows: 2 sent, 2 acknowledged, 0 invalid\n")
    assert "stopped after row 2" in done.stderr
    assert len(sent(environment)) == 2


def test_a_file_whose_emitting_was_killed_counts_once_however_it_is_sent_again(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    """Half of a CSV, kill -9; all of it packed; then as Parquet: a real worker counts each row once."""
    rows = 12_000
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=3)
    table = [(f"t{n % 11}", Decimal(n % 97) / 8, start + timedelta(milliseconds=n * 600 // 2)) for n in range(rows)]
    texts = [f"{tenant},{units},{when.isoformat()}\n" for tenant, units, when in table]
    expected: dict[tuple[str, str, str], list[Decimal]] = defaultdict(list)
    for tenant, units, when in table:
        expected[tenant, "orders", when.isoformat()[:13]].append(units)

    with Streams(kafka, prefix, tmp_path, partitions=2) as streams:
        streams.start("a")
        environment = {"METERLINE_KAFKA": kafka, "METERLINE_TOPIC_PREFIX": prefix}
        pipe = tmp_path / "usage.csv"
        os.mkfifo(pipe)
        command = ("meterline_deploy", "emit", str(pipe), *OPTIONS)
        emitting = Started(*command, environment={**os.environ, **environment}, out=tmp_path / "emitting.log")
        with pipe.open("w") as file:
            file.write("customer,units,when\n" + "".join(texts[: rows // 2]))
            file.flush()
            wait_until(lambda: len(sent(environment)) > 1000, 60, "events of the first half")
            emitting.kill()
            emitting.wait(10)
        assert 1000 < len(sent(environment)) <= rows // 2

        packed = tmp_path / "usage.csv.gz"
        packed.write_bytes(gzip.compress(("customer,units,when\n" + "".join(texts)).encode()))
        columns = [list(column) for column in zip(*table, strict=True)]
        parquet.write_table(
            pa.table({"customer": columns[0], "units": pa.array(columns[1], pa.decimal128(20, 3)), "when": columns[2]}),
            tmp_path / "usage.parquet",
            row_group_size=1000,
        )
        for again in (packed, tmp_path / "usage.parquet"):
            done = meterline("emit", str(again), *OPTIONS, more=environment)
            assert (done.returncode, done.stdout) == (
                0,
                "12,000 rows: 12,000 sent, 12,000 acknowledged, 0 invalid\n",
            ), done.stderr
        streams.drain("a")
        check_one_verdict_each(kafka, prefix)
        answers = answers_of_topics(kafka, prefix)
    assert {key: (found.count, found.sum) for key, found in answers.items()} == {
        key: (len(units), sum(units)) for key, units in expected.items()
    }
