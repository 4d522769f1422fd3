"""An installation with the stand-in as its Stripe, and its jobs by the command line."""

from __future__ import annotations

import json
import subprocess
import uuid
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from tests.api.billing.stripe.stand_in import KEY as STRIPE_KEY
from tests.api.billing.stripe.stand_in import StandIn
from tests.api.process import KEY, ApiProcess
from tests.deploy.running import meterline
from tests.support.pipeline import Pipeline
from tests.support.streams import wait_until

DAY = timedelta(days=1)
TODAY = datetime.combine(datetime.now(UTC).date(), time(), tzinfo=UTC)
EVENTS = "/v1/billing/meter_events"
SCHEDULES = {f"BILLING_{job}_SCHEDULE": "" for job in ("CHECK_AGGREGATION", "PUSH", "RETRY", "CLOSE", "RECONCILE")}
SECOND = timedelta(seconds=1)  # one instant is one run, whoever asks again


class Town:
    """An installation with the stand-in as its Stripe. ``asked`` has no schedule: it does what it is asked for."""

    def __init__(self, pipeline: Pipeline, stripe: StandIn, folder: Path) -> None:
        self._ran = datetime.now(UTC) - SECOND
        self.pipeline, self.stripe, self.folder = pipeline, stripe, folder
        self.asked = self.api("asked", BILLING_ENABLED="false")
        self.asked.start()

    def api(self, name: str, **more: str) -> ApiProcess:
        (self.folder / name).mkdir()
        settings = {"STRIPE_KEY": STRIPE_KEY, "STRIPE_URL": self.stripe.url, "STRIPE_RATE": "1000", "NO_PROXY": "*"}
        settings |= {"STRIPE_LONGEST_WAIT": "0.1", "STRIPE_ATTEMPTS": "2", "STRIPE_PROPAGATION": "PT0S"}
        settings |= {"BILLING_LOST_AFTER": "PT2S", **SCHEDULES, **more}
        where = self.pipeline
        return ApiProcess(where.bootstrap, where.prefix, where.clickhouse, self.folder / name, **settings)

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        more = {"METERLINE_API_URL": str(self.asked.client.base_url), "METERLINE_API_KEY": KEY, "COLUMNS": "300"}
        done = meterline(*words, folder=self.folder, more=more)
        assert "Traceback" not in done.stderr
        return done

    def run(self, job: str) -> dict[str, Any]:
        """Have a job done now, by the command line; what came of it."""
        wait_until(lambda: datetime.now(UTC) > self._ran + SECOND, 5, "an instant that nothing was done for")
        done = self.command("billing", "run", job, "--due", "now", "--wait", "--format", "json")
        self._ran = datetime.now(UTC)
        found: dict[str, Any] = json.loads(done.stdout)
        assert done.returncode == int(found["state"] == "failed" or bool(found["problems"])), done.stderr
        return found

    def use(self, tenant: str, metric: str, quantity: str, at: datetime) -> None:
        event = {"id": str(uuid.uuid4()), "tenant_id": tenant, "metric": metric, "quantity": quantity}
        answer = self.asked.send(json.dumps([{**event, "timestamp": at.isoformat()}]))
        assert answer.status_code == 202, answer.text

    def orders(self) -> dict[date, int]:
        """What Stripe has of them, by day."""
        (meter,) = [each["meter"] for each in self.setup("--dry-run")["metrics"] if each["metric"] == "order"]
        return {day: value for (_, of, day), value in self.stripe.days().items() if of == meter}

    def setup(self, *words: str) -> dict[str, Any]:
        done = self.command("stripe", "setup", "--format", "json", *words)
        found: dict[str, Any] = json.loads(done.stdout)
        assert done.returncode == int(bool(found["problems"])), done.stderr
        return found
