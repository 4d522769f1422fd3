"""``python -m meterline_deploy.stripe_stand_in`` as tests run it, and the official SDK on it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import httpx
import stripe

from meterline_deploy.tether import tethered

KEY: Final = "sk_test_standin"
NOON: Final = 1_763_726_400
"""2025-11-21T12:00:00Z, where the clock stands that ``freeze`` sets."""
DAY: Final = 86_400


def told(error: stripe.StripeError) -> tuple[Any, str | None]:
    """An error's code in the body, and whether Stripe says that a retry helps."""
    assert isinstance(error.json_body, dict)
    return error.json_body["error"].get("code"), (error.headers or {}).get("stripe-should-retry")


class StandIn:
    """One Stripe stand-in. With ``data`` it keeps everything in that file through ``kill`` and ``start``."""

    def __init__(self, folder: Path, *, data: Path | None = None) -> None:
        self._log = folder / "stripe-stand-in.log"
        self._data = data
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """On the port that it had before, if it ran before; returns when it answers."""
        command = [sys.executable, "-m", "meterline_deploy.stripe_stand_in", "--port", str(self._port)]
        if self._data is not None:
            command += ["--data", str(self._data)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("METERLINE_")}
        with self._log.open("wb") as out:
            self._process = subprocess.Popen(tethered(command), env=environment, stdout=out, stderr=out)
        deadline = time.monotonic() + 30
        while not (found := re.search(r"listening on http://[^:]+:(\d+)", self.log())):
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.01)
        self._port = int(found[1])

    def log(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    def client(self, *, retries: int = 0, timeout: float = 10, key: str = KEY) -> stripe.StripeClient:
        """The official SDK, which never retries by itself unless told."""
        transport = stripe.RequestsClient(timeout=timeout)
        return stripe.StripeClient(
            key,
            base_addresses={"api": self.url, "meter_events": self.url},
            max_network_retries=retries,
            http_client=transport,
        )

    def control(self, path: str, document: Mapping[str, Any] | None = None, method: str | None = None) -> Any:
        """The answer of /_control/``path``: POST with a document, else GET."""
        chosen = method or ("GET" if document is None else "POST")
        answer = httpx.request(chosen, f"{self.url}/_control/{path}", json=document, timeout=10, trust_env=False)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def freeze(self, now: float = NOON) -> None:
        self.control("clock", {"now": now, "frozen": True})

    def advance(self, seconds: float) -> None:
        self.control("clock", {"advance": seconds})

    def settings(self, **settings: Any) -> None:
        self.control("settings", settings)

    def fault(self, kind: str, **fields: Any) -> None:
        self.control("faults", {"kind": kind, "path": "/v1/billing/meter_events", **fields})

    def values(self) -> dict[tuple[str, str, int], int]:
        """What each meter counted, by customer, event name and day."""
        found = self.control("state")["values"]
        return {(each["customer"], each["event_name"], each["day"]): each["value"] for each in found}

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self._process is not None
        self._process.terminate()
        try:
            return self._process.wait(15)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the Stripe stand-in did not stop on SIGTERM:\n{self.log()}") from None
