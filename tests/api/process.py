"""``python -m meterline_api`` as tests run it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx

from meterline_schemas.settings import ClickHouseSettings
from tests.support.processes import Started

KEY = "a-key-for-tests"


class ApiProcess:
    """One API process. ``client`` carries the key; more settings by their variables without METERLINE_."""

    def __init__(
        self, kafka: str, prefix: str, clickhouse: ClickHouseSettings | None, folder: Path, **settings: str
    ) -> None:
        self._log = folder / "api.log"
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("METERLINE_")},
            "METERLINE_KAFKA": kafka,
            "METERLINE_TOPIC_PREFIX": prefix,
            "METERLINE_API_PORT": "0",
            "METERLINE_API_KEY": KEY,
            "METERLINE_API_ACK_TIMEOUT": "2",
            "METERLINE_API_SAMPLE_SECONDS": "0.2",
            "METERLINE_CLICKHOUSE_URL": "http://127.0.0.1:1",
            "METERLINE_BILLING_ENABLED": "false",  # else each would begin with what was due last
            **{f"METERLINE_{name}": value for name, value in settings.items()},
        }
        if clickhouse is not None:
            self._environment |= {
                "METERLINE_CLICKHOUSE_URL": clickhouse.url,
                "METERLINE_CLICKHOUSE_USER": clickhouse.user,
                "METERLINE_CLICKHOUSE_PASSWORD": clickhouse.password.get_secret_value(),
                "METERLINE_CLICKHOUSE_DATABASE": clickhouse.database,
            }
        self._process: Started | None = None
        self.client = httpx.Client()

    def start(self, *, ready: bool = True) -> None:
        """Start, and wait until it listens and, with ``ready``, takes events."""
        self._log.write_bytes(b"")
        self._process = Started("meterline_api", environment=self._environment, out=self._log)
        deadline = time.monotonic() + 60
        while True:
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            found = re.search(r"listening on (http://\S+)", self.log())
            if found:
                self.client.close()
                self.client = httpx.Client(
                    base_url=found[1], headers={"Authorization": f"Bearer {KEY}"}, timeout=30, trust_env=False
                )
                try:
                    if self.client.get("/health/ready" if ready else "/health/live").status_code == 200:
                        return
                except httpx.TransportError:
                    pass
            time.sleep(0.02)

    def log(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    def send(self, content: bytes | str, media_type: str = "application/json", **headers: str) -> httpx.Response:
        """POST /v1/events."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post("/v1/events", content=content, headers={"Content-Type": media_type, **named})

    def usage(self, **query: Any) -> httpx.Response:
        """GET /v1/usage; ``start`` and ``end`` are ``from`` and ``to``."""
        names = {"start": "from", "end": "to"}
        return self.client.get("/v1/usage", params={names.get(name, name): value for name, value in query.items()})

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def send_signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.client.close()
        if self._process is None:
            return 0
        self._process.terminate()
        try:
            return self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"the API did not stop on SIGTERM:\n{self.log()}") from None
