"""A server that answers ``GET /v1/quotas/check`` as the pages say, for tests of what asks it."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.api.process import KEY


class Api(ThreadingHTTPServer):
    """Answers ``GET /v1/quotas/check`` as the pages say, and anything else with an error; remembers the questions."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str, str]] = []
        self.status = 200
        self.answering = threading.Event()
        self.answering.set()
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Api

    def do_GET(self) -> None:
        self.server.answering.wait(30)
        path = urlsplit(self.path)
        query = {name: value for name, (value,) in parse_qs(path.query, strict_parsing=True).items()}
        if path.path != "/v1/quotas/check" or not query.keys() <= {"tenant_id", "metric", "subject"}:
            return self._answer(404, {"code": "not_found"})
        if self.headers.get_all("Authorization") != [f"Bearer {KEY}"]:
            return self._answer(401, {"code": "unauthorized", "detail": "no key"})
        self.server.asked.append((query["tenant_id"], query["metric"], query.get("subject", "")))
        if self.server.status != 200:
            return self._answer(self.server.status, {"code": "x", "detail": "what is wrong"})
        self._answer(200, status_of(*self.server.asked[-1]))

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if status == 200 else "application/problem+json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def status_of(tenant_id: str, metric: str, subject: str) -> dict[str, Any]:
    """As docs/quotas.md has it; tenants that begin with "full" are blocked."""
    blocked = tenant_id.startswith("full")
    return {
        "tenant_id": tenant_id, "metric": metric, "subject": subject, "aggregation": "sum", "unit": "order",
        "has_quota": False, "unlimited": False, "blocked": blocked, "used": "75", "included": "50", "remaining": "0",
        "percent": "150", "overage": "25", "overage_amount": "1.25", "currency": "EUR",
        "period": "monthly", "period_start": "2026-11-01T00:00:00Z", "resets_at": "2026-12-01T00:00:00Z",
        "thresholds": [{"id": "orders-alert", "subject": "", "action": "alert", "used": "75", "limit": "50",
                        "percent": "150", "reached": True, "resets_at": "2026-12-01T00:00:00Z"},
                       {"id": "orders-stop", "subject": "", "action": "block", "used": "75.5", "limit": "60",
                        "percent": "125", "reached": blocked, "resets_at": "2026-11-22T00:00:00Z"}],
        "provisional": False,
    }  # fmt: skip
