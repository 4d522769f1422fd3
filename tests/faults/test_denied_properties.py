"""A metric that counts the values of a denied property: nothing is judged by it, and nothing is lost."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from meterline_schemas.catalog import Metric
from tests.support import cluster
from tests.support.recount import check_one_verdict_each, lines
from tests.support.streams import Streams, wait_until

pytestmark = pytest.mark.faults

DENYING = {"METERLINE_DENIED_PROPERTIES": "email", "METERLINE_CATALOG_SECONDS": "3600"}
READERS = Metric.model_validate({"key": "readers", "aggregation": "unique_count", "unique_by": "Email"})
SAID = "metric 'readers' counts the different values of the property 'Email'"


def _send(streams: Streams, *events: tuple[str, str]) -> None:
    moment = datetime.now(UTC).isoformat(timespec="milliseconds")
    for id, metric in events:
        fields = {"id": id, "tenant_id": "acme", "metric": metric, "quantity": 1, "timestamp": moment}
        value = json.dumps({**fields, "properties": {"Email": f"{id}@example.com", "region": "eu"}}).encode()
        cluster.produce(streams.bootstrap, streams.prefix + "usage.events", [(0, value)])


def _accepted(streams: Streams) -> dict[str, dict[str, str]]:
    rows: list[dict[str, Any]] = [
        json.loads(line)
        for message in cluster.read_all(streams.bootstrap, f"{streams.prefix}usage.accepted")
        if message.key() != b"progress"
        for line in lines(message.value() or b"")
    ]
    assert len({row["id"] for row in rows}) == len(rows)
    return {row["id"]: row["properties"] for row in rows}


def test_a_worker_ends_before_it_judges_by_such_a_metric_and_goes_on_without_loss(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    with Streams(kafka, prefix, tmp_path, partitions=1) as streams:
        streams.start("a", **DENYING)
        _send(streams, ("before", "orders"))
        streams.drain()
        streams.configure(READERS)
        _send(streams, ("r1", "readers"), ("o1", "orders"))  # the first makes it look into the catalog
        assert streams.exit_code("a", 40) == 70
        assert SAID in streams.log("a").read_text()

        streams.start("b", **DENYING)
        assert streams.exit_code("b", 40) == 1
        said = streams.log("b").read_text()
        assert f"cannot start: {SAID}" in said
        assert "Traceback" not in said
        assert _accepted(streams) == {"before": {"region": "eu"}}

        streams.start("c")
        streams.drain("c")
        check_one_verdict_each(kafka, prefix)
        kept = {id: {"Email": f"{id}@example.com", "region": "eu"} for id in ("r1", "o1")}
        assert _accepted(streams) == {"before": {"region": "eu"}, **kept}


def test_once_the_metric_is_deleted_a_worker_starts_again(kafka: str, prefix: str, tmp_path: Path) -> None:
    with Streams(kafka, prefix, tmp_path, partitions=1) as streams:
        streams.configure(READERS)
        streams.start("a", **DENYING)
        assert streams.exit_code("a", 40) == 1
        cluster.produce_keyed(kafka, prefix + "meterline.config", [("metric/readers", None)])
        streams.start("a", **DENYING)
        wait_until(lambda: streams.assigned("a"), 40, "a partition opened")
        _send(streams, ("o1", "orders"))
        streams.drain()
        assert _accepted(streams) == {"o1": {"region": "eu"}}
