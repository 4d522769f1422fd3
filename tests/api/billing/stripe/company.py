"""Tenants whose days are pushed: what they used, who is told, and whether Stripe ends with just that."""

from __future__ import annotations

import json
import os
import signal
from contextlib import ExitStack, closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from meterline_api.billing.stripe.days import DayTotal
from meterline_api.billing.stripe.settings import StripeSettings
from meterline_api.billing.stripe.site import Site, opened
from meterline_api.billing.stripe.terms import Terms
from meterline_schemas import topics
from meterline_schemas.audit.log import AuditLog
from meterline_schemas.billing.push import Push, read_push
from meterline_schemas.catalog import Billing, Book, Entry, Metric, StripeMeter, Tenant
from meterline_schemas.quantity import NANO
from meterline_schemas.settings import KafkaSettings
from tests.api.billing.stripe.stand_in import KEY, Days, StandIn
from tests.support import cluster
from tests.support.processes import Started

METRICS = ("calls", "orders")


class Company:
    """``used`` is what tenants used; ``run`` pushes it in a process, ``site`` in this one."""

    def __init__(self, bootstrap: str, prefix: str, stripe: StandIn, folder: Path, tenants: int) -> None:
        self.kafka = KafkaSettings(kafka=bootstrap, topic_prefix=prefix)
        self.stripe = stripe
        self.used: dict[tuple[str, str, date], int] = {}
        self._folder = folder
        self._stack = ExitStack()
        self._runs = 0
        self._files: dict[Started, tuple[Path, Path]] = {}
        tag = prefix.strip(".")
        entries: list[Entry] = [Metric(key=metric) for metric in METRICS]
        for metric in METRICS:
            form = {
                "display_name": metric,
                "event_name": f"{tag}_{metric}",
                "event_time_window": "day",
                "default_aggregation[formula]": "sum",
            }
            meter = stripe.make("billing/meters", form)
            entries.append(StripeMeter(metric=metric, meter=meter, event_name=f"{tag}_{metric}", prices={}))
        for number in range(tenants):
            customer = stripe.make("customers", {"name": f"tenant {number}"})
            entries.append(Tenant(id=f"tenant-{number}", billing=Billing.METER, stripe_customer=customer))
        self.entries = entries
        self.tenants = [each.id for each in entries if isinstance(each, Tenant)]

    @property
    def terms(self) -> Terms:
        book = Book()
        for entry in self.entries:
            assert book.apply(entry.record_key, entry.encode()) is None
        return Terms(book)

    def use(self, days: int, value: int = 1) -> None:
        """Everybody uses something of everything on each of the last days before today."""
        today = datetime.now(UTC).date()
        for back in range(1, days + 1):
            for number, tenant in enumerate(self.tenants):
                for metric in METRICS:
                    self.used[tenant, metric, today - timedelta(days=back)] = value + 100 * back + number

    def totals(self) -> list[DayTotal]:
        return [DayTotal(*key, value * NANO) for key, value in sorted(self.used.items())]

    def expected(self) -> Days:
        terms = self.terms
        return {
            (terms.customers[tenant], terms.meters[metric].meter, day): value
            for (tenant, metric, day), value in self.used.items()
        }

    def days(self) -> Days:
        """What Stripe has of this company."""
        ours = {meter.meter for meter in self.terms.meters.values()}
        return {key: value for key, value in self.stripe.days().items() if key[1] in ours}

    def check(self) -> None:
        """Stripe has each day as it was used, and no identifier was used for two values."""
        found, expected = self.days(), self.expected()
        wrong = {key: (found.get(key), expected.get(key)) for key in found | expected}
        wrong = {key: both for key, both in wrong.items() if both[0] != both[1]}
        assert not wrong, (wrong, [push for push in self.records() if (push.customer, push.meter, push.day) in wrong])
        twice = {name: values for name, values in self.stripe.values_by_identifier().items() if len(values) > 1}
        assert not twice

    def records(self) -> list[Push]:
        """Every record of the ledger that the topic still has."""
        found = cluster.read_all(self.kafka.kafka, self.kafka.topic(topics.PUSHES))
        return [read_push(message.value()) for message in found]

    def settings(self, **more: Any) -> StripeSettings:
        fields = {"url": self.stripe.url, "rate": 1000, "timeout": 2, "longest_wait": 0.2, "batch": 8, **more}
        return StripeSettings(**{"key": SecretStr(KEY), **fields})

    def site(self, **settings: Any) -> Site:
        audit = self._stack.enter_context(closing(AuditLog(self.kafka)))
        return self._stack.enter_context(opened(self.settings(**settings), self.kafka, audit))

    def start(self, job: str = "push", crash: str = "", **settings: str) -> Started:
        self._runs += 1
        file = self._folder / f"given-{self._runs}.json"
        given = {
            "catalog": {each.record_key.decode(): json.loads(each.encode()) for each in self.entries},
            "totals": [(*key[:2], key[2].isoformat(), value * NANO) for key, value in sorted(self.used.items())],
        }
        file.write_text(json.dumps(given))
        names = {"URL": self.stripe.url, "KEY": KEY, "CRASH": crash, "RATE": "1000", "TIMEOUT": "1", "BATCH": "8"}
        names |= {"LONGEST_WAIT": "0.2", **settings}
        environment = {
            **os.environ,
            "NO_PROXY": "127.0.0.1",
            "METERLINE_KAFKA": self.kafka.kafka,
            "METERLINE_TOPIC_PREFIX": self.kafka.topic_prefix,
            **{f"METERLINE_STRIPE_{name}": value for name, value in names.items()},
        }
        out, err = (self._folder / f"{name}-{self._runs}" for name in ("out", "err"))
        module = "tests.api.billing.stripe.push_process"
        process = Started(module, str(file), job, environment=environment, out=out, err=err)
        self._files[process] = out, err
        return process

    def finish(self, process: Started, *, killed: bool | None = False) -> Any:
        """What a run told; ``killed``: it must have died at its failpoint. None: it may have."""
        code = process.wait(120)
        out, err = (path.read_text() if path.exists() else "" for path in self._files[process])
        assert code == 0 if killed is False else code == -signal.SIGKILL if killed else code in (0, -signal.SIGKILL), (
            err
        )
        return json.loads(out) if code == 0 else None

    def run(self, job: str = "push", **settings: str) -> Any:
        return self.finish(self.start(job, **settings))

    def close(self) -> None:
        self._stack.close()
