"""Input of every bad kind and size: each line gets its verdict, the good lines count, nothing stops."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support import cluster
from tests.support.recount import check_one_verdict_each
from tests.support.streams import Streams, wait_until

pytestmark = pytest.mark.faults


def _event(**changes: Any) -> bytes:
    moment = datetime.now(UTC).isoformat(timespec="milliseconds")
    event = {"id": "i", "tenant_id": "acme", "metric": "orders", "quantity": 1, "timestamp": moment}
    return json.dumps({**event, **changes}).encode()


BAD: dict[str, tuple[bytes, str]] = {
    "not JSON": (b"hello", "invalid_json"),
    "half a line": (_event()[:-10], "invalid_json"),
    "two on one line": (_event(id="x1") + b" " + _event(id="x2"), "invalid_json"),
    "bytes that are no text": (b'{"id":"\xff\xfe"}', "invalid_json"),
    "a lone surrogate": (_event().replace(b'"i"', b'"\\ud800"'), "invalid_json"),
    "a lone surrogate in a property": (_event(properties={"k": "V"}).replace(b"V", b"\\ud800"), "invalid_json"),
    "the literal NaN": (_event().replace(b'"quantity": 1', b'"quantity": NaN'), "invalid_json"),
    "nested for ever": (b"[" * 200_000, "invalid_event"),
    "an array": (b"[1,2]", "invalid_event"),
    "no id": (_event().replace(b'"id"', b'"ID"'), "invalid_event"),
    "an empty id": (_event(id=""), "invalid_event"),
    "a tenant that is a number": (_event(tenant_id=7), "invalid_event"),
    "a tenant of 300 characters": (_event(tenant_id="t" * 300), "invalid_event"),
    "a control character in the id": (_event(id="a\u0000b"), "invalid_event"),
    "a line feed in the tenant": (_event(tenant_id="a\nb"), "invalid_event"),
    "NaN as text": (_event(quantity="NaN"), "invalid_event"),
    "a quantity of words": (_event(quantity="ten"), "invalid_event"),
    "a quantity that is true": (_event(quantity=True), "invalid_event"),
    "a quantity that is null": (_event(quantity=None), "invalid_event"),
    "a quantity that is an object": (_event(quantity={"a": 1}), "invalid_event"),
    "properties that are a list": (_event(properties=[1]), "invalid_event"),
    "101 properties": (_event(properties={str(n): n for n in range(101)}), "invalid_event"),
    "a time without an offset": (_event(timestamp="2026-11-21T00:00:00"), "invalid_event"),
    "a time that is a number": (_event(timestamp=1_700_000_000), "invalid_event"),
    "10^18": (_event(quantity=10**18), "quantity_out_of_range"),
    "10^300": (_event().replace(b'"quantity": 1', b'"quantity": 1e300'), "quantity_out_of_range"),
    "10^99999": (_event(quantity="1e99999"), "invalid_event"),
    "10 decimals": (_event(quantity="0.0000000001"), "quantity_out_of_range"),
    "a thousand digits": (_event(quantity="9" * 1000), "quantity_out_of_range"),
    "negative": (_event(quantity=-1), "quantity_out_of_range"),
    "an unknown metric": (_event(metric="nobody_defined_this"), "unknown_metric"),
    "1970": (_event(timestamp="1970-01-01T00:00:00Z"), "too_old"),
    "year 1 far east": (_event(timestamp="0001-01-01T00:00:00+14:00"), "too_old"),
    "36 days ago": (_event(timestamp=(datetime.now(UTC) - timedelta(days=36)).isoformat()), "too_old"),
    "2999": (_event(timestamp="2999-01-01T00:00:00Z"), "in_future"),
    "year 9999 far west": (_event(timestamp="9999-12-31T23:59:59-14:00"), "in_future"),
    "a line of 300 KB": (_event(properties={"k": "v" * 300_000}), "invalid_event"),
    "10 MB of control characters": (b"\x01" * 10_000_000, "invalid_event"),
}


def test_every_bad_line_is_rejected_for_its_reason_and_its_neighbours_count(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    with Streams(kafka, prefix, tmp_path, partitions=1) as streams:
        streams.start("a")
        names = list(BAD)
        records = []
        for number, name in enumerate(names):
            good = [_event(id=f"{number}-before"), _event(id=f"{number}-after", quantity="2.5")]
            records.append((0, b"\n".join([good[0], BAD[name][0], b"", good[1], b""])))
        cluster.produce(kafka, prefix + "usage.events", records)
        streams.drain("a")
        check_one_verdict_each(kafka, prefix)
        accepted, rejects = _rows(streams)
        assert sorted(row["id"] for row in accepted) == sorted(
            f"{number}-{side}" for number in range(len(names)) for side in ("before", "after")
        )
        found = {names[row["kafka_offset"]]: row for row in rejects}
        assert {name: row["reason"] for name, row in found.items()} == {name: bad[1] for name, bad in BAD.items()}
        for name, row in found.items():
            line = BAD[name][0]
            assert row["kafka_line"] == 1
            assert row["kafka_topic"] == "usage.events"
            assert row["raw_bytes"] == len(line)
            if row["raw_encoding"] == "utf-8":
                assert line.startswith(row["raw"].encode())
                assert len(row["raw"].encode()) == min(len(line), 65_536)


def test_values_at_the_edges_count_exactly(kafka: str, prefix: str, tmp_path: Path) -> None:
    texts = ['"999999999999999999.999999999"', "0.000000001", "1e5", "1E-9", "12.5000000000000", '"0"', "-0"]
    with Streams(kafka, prefix, tmp_path, partitions=1) as streams:
        value = b"\n".join(
            _event(id=str(number)).replace(b'"quantity": 1', b'"quantity": ' + text.encode())
            for number, text in enumerate(texts)
        )
        pretty = json.dumps(json.loads(_event(id="pretty")), indent=2).encode()
        cluster.produce(kafka, prefix + "usage.events", [(0, value), (0, pretty), (0, b""), (0, b"\n \n")])
        streams.start("a")
        streams.drain("a")
        accepted, rejects = _rows(streams)
        assert rejects == []
        assert [row["quantity"] for row in accepted] == [
            "999999999999999999.999999999",
            "0.000000001",
            "100000",
            "0.000000001",
            "12.5",
            "0",
            "0",
            "1",
        ]


def test_oversize_input_ends_nothing(kafka: str, prefix: str, tmp_path: Path) -> None:
    with Streams(kafka, prefix, tmp_path, partitions=1) as streams:
        worker = streams.start("a")
        braces = b"\n".join([b"{}"] * 300_000)
        bomb = b"\n".join([b'{"id":"%s"}' % (b"b" * 100)] * 100_000)  # a few KB once compressed
        newlines = b"\n" * 12_000_000
        small = [(0, b"\n".join(_event(id=f"{n}-{m}") for m in range(2))) for n in range(2_000)]
        cluster.produce(kafka, prefix + "usage.events", [(0, braces), (0, bomb), (0, newlines), *small])
        streams.drain()
        assert worker.poll() is None
        check_one_verdict_each(kafka, prefix)
        accepted, rejects = _rows(streams)
        assert len(accepted) == 4_000
        assert sum(row.get("lines", 1) for row in rejects) == 400_000
        for name in cluster.OUTPUTS:
            assert all(len(m.value() or b"") <= 1_000_000 for m in cluster.read_all(kafka, prefix + name))


def test_records_stamped_by_producers_are_refused(kafka: str, prefix: str, tmp_path: Path) -> None:
    from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

    with Streams(kafka, prefix, tmp_path, partitions=1) as streams:
        entry = ConfigEntry("message.timestamp.type", "CreateTime", incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, prefix + "usage.events", incremental_configs=[entry])
        cluster.admin(kafka).incremental_alter_configs([resource])[resource].result(20)
        streams.start("a")
        assert streams.exit_code("a", 30) == 1
        assert "message.timestamp.type" in streams.log("a").read_text()


def test_another_partition_count_than_written_down_is_refused(kafka: str, prefix: str, tmp_path: Path) -> None:
    with Streams(kafka, prefix, tmp_path, partitions=2) as streams:
        streams.define(partitions=4)
        streams.start("a")
        assert streams.exit_code("a", 30) == 1
        assert "has 2 partitions, but Meterline was set up with 4" in streams.log("a").read_text()
        wait_until(lambda: not streams.alive("a"), 1, "the worker ended")


def _rows(streams: Streams) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    rows: dict[str, list[dict[str, Any]]] = {"accepted": [], "rejected": []}
    for name, into in rows.items():
        for message in cluster.read_all(streams.bootstrap, f"{streams.prefix}usage.{name}"):
            if message.key() != b"progress":
                into.extend(json.loads(line) for line in message.value().split(b"\n"))
    return rows["accepted"], rows["rejected"]
