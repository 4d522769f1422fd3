"""Workers that refuse unknown tenants: one verdict a line, and no event ahead of its tenant."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from meterline_schemas.catalog import Tenant
from tests.support import cluster
from tests.support.recount import check_one_verdict_each, lines
from tests.support.streams import Streams, wait_until

pytestmark = pytest.mark.faults

# never looked at again but where an event asks for it
REJECT = {"METERLINE_UNKNOWN_TENANT": "reject", "METERLINE_CATALOG_SECONDS": "3600"}


def _event(id: str, tenant: str, quantity: int = 1) -> bytes:
    moment = datetime.now(UTC).isoformat(timespec="milliseconds")
    fields = {"id": id, "tenant_id": tenant, "metric": "orders", "quantity": quantity, "timestamp": moment}
    return json.dumps(fields).encode()


def _rows(streams: Streams, name: str) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for message in cluster.read_all(streams.bootstrap, f"{streams.prefix}usage.{name}")
        if message.key() != b"progress"
        for line in lines(message.value() or b"")
    ]


def _ids(streams: Streams) -> list[str]:
    return sorted(row["id"] for row in _rows(streams, "accepted"))


def _define(streams: Streams, *tenants: str) -> None:
    streams.configure(*(Tenant(id=tenant) for tenant in tenants))


def _stopped(streams: Streams) -> bool:
    return Path(f"/proc/{streams.pid('a')}/stat").read_bytes().rsplit(b")", 1)[1].split()[0] == b"T"


def test_unknown_tenants_are_refused_by_their_places_and_known_ones_count(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    with Streams(kafka, prefix, tmp_path, partitions=1) as streams:
        _define(streams, "acme")
        streams.start("a", **REJECT)
        mixed = b"\n".join(
            [_event("m1", "acme"), b"", _event("m2", "stranger"), _event("m3", "acme"), _event("m4", "other")]
        )
        records = [b"\n".join(_event(f"p{n}", "acme") for n in range(5)), mixed, _event("s1", "stranger")]
        cluster.produce(kafka, prefix + "usage.events", [(0, record) for record in records])
        streams.drain("a")
        check_one_verdict_each(kafka, prefix)
        assert _ids(streams) == ["m1", "m3", "p0", "p1", "p2", "p3", "p4"]
        found = {row["id"]: row for row in _rows(streams, "rejected")}
        places = {
            id: (row["kafka_topic"], row["kafka_partition"], row["kafka_offset"], row["kafka_line"], row["tenant_id"])
            for id, row in found.items()
        }
        assert places == {
            "m2": ("usage.events", 0, 1, 1, "stranger"),
            "m4": ("usage.events", 0, 1, 3, "other"),
            "s1": ("usage.events", 0, 2, 0, "stranger"),
        }
        assert {row["reason"] for row in found.values()} == {"unknown_tenant"}
        assert all("define it" in row["detail"] for row in found.values())
        assert found["s1"]["raw"].encode() == records[2]

        _define(streams, "stranger")
        again = [_event("s2", "stranger"), records[2], records[2]]
        cluster.produce(kafka, prefix + "usage.events", [(0, record) for record in again])
        streams.drain("a")
        check_one_verdict_each(kafka, prefix)
        assert _ids(streams) == ["m1", "m3", "p0", "p1", "p2", "p3", "p4", "s1", "s2"]
        totals = {
            (row["tenant_id"], row["hour"]): row["count"] for row in _rows(streams, "totals") if "tenant_id" in row
        }
        assert sum(count for (tenant, _hour), count in totals.items() if tenant == "stranger") == 2


def test_an_event_sent_right_after_its_tenant_was_defined_counts(kafka: str, prefix: str, tmp_path: Path) -> None:
    with Streams(kafka, prefix, tmp_path, partitions=1) as streams:
        streams.start("a", **REJECT, METERLINE_CHECKPOINT_SECONDS="0.01")
        wait_until(lambda: streams.assigned("a"), 40, "a partition opened")
        for number in range(100):
            _define(streams, f"tenant-{number}")
            cluster.produce(kafka, prefix + "usage.events", [(0, _event(f"e{number}", f"tenant-{number}"))])
        streams.drain("a")
        assert _rows(streams, "rejected") == []
        assert _ids(streams) == sorted(f"e{number}" for number in range(100))


@pytest.mark.parametrize("place", ["before_begin", "before_commit"])
def test_a_tenant_defined_in_mid_checkpoint_gives_one_verdict(
    kafka: str, prefix: str, tmp_path: Path, place: str
) -> None:
    with Streams(kafka, prefix, tmp_path, partitions=1) as streams:
        streams.start("a", **REJECT, METERLINE_FAILPOINT=f"{place}:1:STOP")
        cluster.produce(kafka, prefix + "usage.events", [(0, _event("e1", "fresh"))])
        wait_until(lambda: _stopped(streams), 40, "the worker frozen with its verdict made")
        _define(streams, "fresh")
        streams.kill("a")
        streams.start("a", **REJECT)
        streams.drain("a")
        check_one_verdict_each(kafka, prefix)
        assert (_ids(streams), _rows(streams, "rejected")) == (["e1"], [])


def test_a_verdict_that_was_committed_stays_whatever_the_setting_is_next(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    with Streams(kafka, prefix, tmp_path, partitions=1) as streams:
        streams.start("a")
        cluster.produce(kafka, prefix + "usage.events", [(0, _event("accepting", "stranger"))])
        streams.drain("a")
        streams.kill("a")
        streams.start("a", **REJECT)
        cluster.produce(kafka, prefix + "usage.events", [(0, _event("refusing", "stranger"))])
        streams.drain()
        streams.kill("a")
        streams.start("a")
        cluster.produce(kafka, prefix + "usage.events", [(0, _event("again", "stranger"))])
        streams.drain("a")
        check_one_verdict_each(kafka, prefix)
        assert _ids(streams) == ["accepting", "again"]
        assert [(row["id"], row["reason"]) for row in _rows(streams, "rejected")] == [("refusing", "unknown_tenant")]


def test_a_worker_does_not_start_with_another_word(kafka: str, prefix: str, tmp_path: Path) -> None:
    with Streams(kafka, prefix, tmp_path, partitions=1) as streams:
        streams.start("a", METERLINE_UNKNOWN_TENANT="ignore")
        assert streams.exit_code("a", 30) == 1
        said = streams.log("a").read_text()
        assert "METERLINE_UNKNOWN_TENANT: Input should be 'accept' or 'reject'" in said
        assert "Traceback" not in said
