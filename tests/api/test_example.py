"""The metered service of the examples: what its traffic uses is what is in Kafka."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections import defaultdict
from decimal import Decimal
from pathlib import Path

import httpx
import yaml

from examples.metered_service.traffic import calls, drive
from meterline_schemas.catalog import Metric
from tests.producers.reading import create_topic, events
from tests.support.streams import wait_until

FOLDER = Path(__file__).parents[2] / "examples" / "metered_service"


def test_traffic_is_the_same_for_the_same_seed_and_a_few_tenants_send_most_of_it() -> None:
    assert list(calls(500, 50, 7)) == list(calls(500, 50, 7)) != list(calls(500, 50, 8))
    sent = [call.tenant for call in calls(2_000, 50, 7)]
    assert len(set(sent)) > 40
    assert sum(1 for tenant in sent if tenant <= "tenant-005") > 800


def test_its_metrics_can_be_applied() -> None:
    content = yaml.safe_load((FOLDER / "metrics.yaml").read_text())
    keys = {Metric.decode(Metric(**metric).encode()).key for metric in content["metrics"]}
    assert keys == {"api_calls", "orders", "storage_gb", "ai_seconds"}


def test_what_its_traffic_used_is_in_kafka(kafka: str, prefix: str) -> None:
    create_topic(kafka, prefix)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    environment = {**os.environ, "METERLINE_KAFKA": kafka, "METERLINE_TOPIC_PREFIX": prefix}
    service = subprocess.Popen([sys.executable, str(FOLDER / "app.py"), "--port", str(port)], env=environment)

    def listens() -> bool:
        try:
            return httpx.get(f"{url}/usage/stats", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    try:
        wait_until(listens, 30, "the service listens")
        summary = asyncio.run(drive(url, 300, 20, 7))
    finally:
        service.terminate()
        service.wait(30)
    found: dict[str, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for event in events(kafka, prefix):
        of_tenant, quantity = found[event["tenant_id"]], Decimal(event["quantity"])
        if event["metric"] == "storage_gb":
            of_tenant["storage_gb"] = max(of_tenant["storage_gb"], quantity)
        else:
            of_tenant[event["metric"]] += quantity
    wanted = {
        tenant: {metric: Decimal(value) for metric, value in used.items()} for tenant, used in summary["usage"].items()
    }
    assert found == wanted
    assert summary["events"] == 600
