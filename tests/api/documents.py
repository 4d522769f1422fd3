"""An installation in which the requirement documents' examples hold: their metrics and prices, and who calls."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import httpx
import yaml

from meterline_deploy import defaults
from meterline_schemas.catalog import Entry, Metric, Quota, read_entry
from meterline_schemas.settings import ClickHouseSettings
from tests.support.pipeline import KEY, Pipeline
from tests.support.streams import wait_until

COMPANY: Final = "comp-123"
STORED: Final = 3_500_000_000  # bytes, of COMPANY
RATES: Final = {  # of requirement document 5
    "marketplace.wpk_upload": "0.10",
    "marketplace.wpk_review": "0.05",
    "analytics.query": "0.01",
    "analytics.report": "0.25",
    "storage.gb_hour": "0.02",
    "compute.cpu_hour": "0.50",
    "compute.memory_gb_hour": "0.10",
}
PRICES: Final = {"order": "0.10", "invoice": "0.05", "storage": "1.00", "api_call": "0.00001", "ai_job": "0.50"}
FEATURES: Final = yaml.safe_load((Path(defaults.__file__).parent / "features.yaml").read_text())
ORDERS: Final = yaml.safe_load((Path(defaults.__file__).parent / "orders.yaml").read_text())


def entries() -> list[Entry]:
    """The defaults of documents 2 and 4, the metrics of 1 and 5, the prices of 4 and 5."""
    metrics = {each["key"]: each for each in [*ORDERS["metrics"], *FEATURES["metrics"]]}
    for key in ("storage_gb_month", "job_execution_unit", "premium_api_call", "transaction", "own_calls", *RATES):
        metrics[key] = {"key": key}
    found: list[Entry] = [read_entry(Metric, each) for each in metrics.values()]
    found += [read_entry(Quota, each) for each in FEATURES["quotas"]]
    flat = {"included": 0, "currency": "USD"}
    found += [read_entry(Quota, {"metric": key, "price_per_unit": rate, **flat}) for key, rate in RATES.items()]
    found += [
        read_entry(Quota, {"metric": key, "tenant_id": COMPANY, "price_per_unit": price, **flat})
        for key, price in PRICES.items()
    ]
    return found


class Documents(Pipeline):
    """All processes; events of the years of the examples are taken, and calls of tenants' keys are counted."""

    def __init__(self, kafka: str, prefix: str, folder: Path, clickhouse: ClickHouseSettings) -> None:
        self._stored = folder / "stored"
        (self._stored / COMPANY).mkdir(parents=True)
        with (self._stored / COMPANY / "file").open("wb") as file:
            file.truncate(STORED)  # sparse
        super().__init__(kafka, prefix, folder, clickhouse, partitions=2)
        self._keys: dict[tuple[str, str], str] = {}

    def define(self, *_metrics: str, partitions: int | None = None) -> None:
        super().define(partitions=partitions)
        self.configure(*entries())

    def environment(self, name: str, more: Mapping[str, str]) -> dict[str, str]:
        return {
            **super().environment(name, more),
            "METERLINE_ACCEPT_PAST": "P3000D",
            "METERLINE_API_READ_BACK": "10",
            "METERLINE_API_TRACK_CALLS": "own_calls",
            "METERLINE_STORAGE_URL": self._stored.as_uri(),
        }

    def client(self, role: str = "root", tenant: str = "*") -> httpx.Client:
        """Calls with a key of that role for that tenant; root is the key of the settings."""
        if role != "root" and (role, tenant) not in self._keys:
            with self.client() as root:
                made = root.post("/v1/keys", json={"role": role, "tenants": [tenant]})
                assert made.status_code == 201, made.text
                self._keys[role, tenant] = made.json()["key"]
        key = KEY if role == "root" else self._keys[role, tenant]
        return httpx.Client(
            base_url=f"http://127.0.0.1:{self._port}",
            headers={"Authorization": f"Bearer {key}"},
            timeout=60,
            trust_env=False,
        )

    def warm_up(self) -> None:
        """Until what is tracked is read back: from then on it is so at once."""
        with self.client() as root:

            def read_back() -> bool:
                sent = root.post("/api/usage/track", json={"organizationId": "warm", "feature": "own_calls"})
                found = root.get("/api/usage/warm", params={"features": "own_calls"})
                return sent.status_code == found.status_code == 200 and bool(
                    exact(found)["features"][0]["totalQuantity"]
                )

            wait_until(read_back, 90, "usage is read back")


def exact(answer: httpx.Response) -> Any:
    """The body of an answer that was given, numbers as decimals."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    return json.loads(answer.content, parse_float=Decimal, parse_int=Decimal)


def error(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The error in an answer that is one, in the documents' form."""
    assert answer.status_code == status, answer.text
    found = answer.json()
    assert found.keys() == {"error"}
    assert found["error"].keys() == {"code", "message", "details"}
    assert found["error"]["code"] == code
    assert found["error"]["message"]
    assert "Traceback" not in answer.text
    return dict(found["error"])
