"""An API whose jobs push and close keep to a folder; nothing is begun by itself, and push is due at new year."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from unittest.mock import patch

import httpx

from tests.api.process import ApiProcess
from tests.services.kafka import create_topics
from tests.support.processes import Started
from tests.support.streams import wait_until

RUNS = "/v1/billing/runs"


def _serving(_module: str, **more: Any) -> Started:
    return Started("tests.api.billing.jobs.serving", **more)


class Site:
    def __init__(self, kafka: str, prefix: str, folder: Path, **settings: str) -> None:
        self.kafka, self.prefix = kafka, prefix
        self.folder = folder / "jobs"
        self.folder.mkdir()
        create_topics(kafka, prefix, 1)
        schedules = {"BILLING_CLOSE_SCHEDULE": "", "BILLING_PUSH_SCHEDULE": "0 0 1 1 *"}
        given = {"BILLING_ENABLED": "false", "TEST_FOLDER": str(self.folder), **schedules, **settings}
        self.api = ApiProcess(kafka, prefix, None, folder, **given)

    def __enter__(self) -> Self:
        with patch("tests.api.process.Started", _serving):
            self.api.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.api.stop()

    def ask(self, **body: Any) -> httpx.Response:
        return self.api.client.post(RUNS, json=body)

    def ended(self, job: str, due: str) -> dict[str, Any]:
        """The run once it has ended."""

        def has_ended() -> bool:
            return self._run(job, due)["state"] in ("done", "failed")

        wait_until(has_ended, 30, lambda: str(self._run(job, due)))
        return self._run(job, due)

    def effect(self, job: str, due: str) -> Path:
        return self.folder / f"{job}-{datetime.fromisoformat(due):%Y%m%dT%H%M%S}"

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Jobs stand still in the middle."""
        with self._told("hold", ""):
            yield

    @contextmanager
    def failing(self, why: str) -> Iterator[None]:
        with self._told("fail", why):
            yield

    @contextmanager
    def _told(self, name: str, text: str) -> Iterator[None]:
        path = self.folder / name
        path.write_text(text)
        try:
            yield
        finally:
            path.unlink()

    def _run(self, job: str, due: str) -> dict[str, Any]:
        answer = self.api.client.get(f"{RUNS}/{job}/{due}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found
