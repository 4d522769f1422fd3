"""The stand-in of Stripe as a process, and what it was told."""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx

KEY = "sk_test_meterline"
Days = dict[tuple[str, str, date], int]


class StandIn:
    """Started at once; ``stop`` ends it."""

    def __init__(self, folder: Path) -> None:
        self._errors = (folder / "stripe.log").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "meterline_deploy.stripe_stand_in", "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        assert "listening on " in said, (folder / "stripe.log").read_text()
        self.url = said.split("listening on ")[1].strip()
        self._http = httpx.Client(base_url=self.url, trust_env=False, timeout=30)

    def control(self, name: str, **body: Any) -> Any:
        answer = self._http.post(f"/_control/{name}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def clear_faults(self) -> None:
        self._http.delete("/_control/faults")

    def make(self, path: str, form: Mapping[str, str]) -> str:
        """The id of a new object; empty of a meter event, which has none."""
        answer = self._http.post(f"/v1/{path}", data=dict(form), headers={"Authorization": f"Bearer {KEY}"})
        assert answer.status_code == 200, answer.text
        return str(answer.json().get("id", ""))

    def state(self) -> Any:
        return self._http.get("/_control/state").json()

    def requests(self) -> list[Any]:
        return list(self._http.get("/_control/requests").json()["requests"])

    def days(self) -> Days:
        return {
            (each["customer"], each["meter"], datetime.fromtimestamp(each["day"], UTC).date()): int(each["value"])
            for each in self.state()["values"]
        }

    def values_by_identifier(self) -> dict[str, set[int]]:
        found: dict[str, set[int]] = defaultdict(set)
        for event in self.state()["events"]:
            found[event["identifier"]].add(int(event["value"]))
        return found

    def stop(self) -> None:
        self._http.close()
        self._process.terminate()
        self._process.wait(30)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._errors.close()
