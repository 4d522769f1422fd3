"""Documents of tenants that are charged by invoice items, who sends them, and whether Stripe has each line once."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr

from meterline_api.billing.invoices.document import credit_note_of
from meterline_api.billing.invoices.ledger import Closed, InvoiceLedger
from meterline_api.billing.stripe.items.plan import in_units
from meterline_api.billing.stripe.items.site import ItemSite, opened
from meterline_api.billing.stripe.settings import StripeSettings
from meterline_schemas import topics
from meterline_schemas.audit.entry import Author, Draft
from meterline_schemas.audit.log import AuditLog
from meterline_schemas.billing.invoice import DocumentKind, Invoice, Line, LineKind
from meterline_schemas.billing.item import MARK, Items, read_items
from meterline_schemas.settings import KafkaSettings
from tests.api.billing.stripe.stand_in import KEY, StandIn
from tests.support import cluster
from tests.support.processes import Started

PREFIXES = {DocumentKind.INVOICE: "INV-", DocumentKind.CREDIT_NOTE: "CN-"}
PERIOD = timedelta(days=1)
Sent = Counter[tuple[str, str, int]]


def never_metered(tenant: str, metric: str, start: datetime, end: datetime) -> bool:
    return False


class Register:
    """``close`` writes an invoice, ``void`` its credit note; ``run`` sends in a process, ``site`` in this one."""

    def __init__(self, bootstrap: str, prefix: str, stripe: StandIn, folder: Path, tenants: int) -> None:
        self.kafka = KafkaSettings(kafka=bootstrap, topic_prefix=prefix)
        self.stripe = stripe
        self.customers = {f"tenant-{n}": stripe.make("customers", {"name": f"tenant {n}"}) for n in range(tenants)}
        self.documents: dict[str, Invoice] = {}
        self._folder = folder
        self._stack = ExitStack()
        self._audit = self._stack.enter_context(closing(AuditLog(self.kafka)))
        self._ledger = self._stack.enter_context(closing(InvoiceLedger(self.kafka, self._audit, PREFIXES)))
        self._until = datetime(2026, 1, 1, tzinfo=UTC)
        self._runs = 0
        self._files: dict[Started, tuple[Path, Path]] = {}

    def close(self, *amounts: str, currency: str = "EUR", billing: str = "invoice_items", **more: Any) -> list[str]:
        """An invoice for each tenant with a base fee and usage of these amounts; their numbers."""
        start, end = self._until, self._until + PERIOD
        self._until = end
        periods = []
        for tenant in self.customers:
            lines = tuple(
                Line(
                    kind=LineKind.USAGE if number else LineKind.BASE_FEE,
                    amount=Decimal(amount),
                    start=start,
                    end=end,
                    metric="calls" if number else "",
                    name="API calls" if number else "Basic",
                    unit="call" if number else "",
                    quantity=Decimal(100 + number) if number else None,
                )
                for number, amount in enumerate(amounts)
            )
            invoice = Invoice(
                number="",
                kind=DocumentKind.INVOICE,
                tenant_id=tenant,
                tenant_name=tenant,
                plan="basic",
                currency=currency,
                start=start,
                end=end,
                lines=lines,
                total=sum((line.amount for line in lines), Decimal(0)),
                issued_at=more.get("issued_at", datetime.now(UTC)),
                billing=billing,
            )
            periods.append(Closed(tenant, start, end, invoice))
        made = self._ledger.close_periods(periods, lambda _invoices: ())
        self.documents |= {each.number: each for each in made}
        return [each.number for each in made]

    def void(self, number: str) -> str:
        note = credit_note_of(self.documents[number], "wrong", datetime.now(UTC))
        draft = Draft(
            author=Author("test"), action="billing.invoice.voided", resource_type="invoice", resource_id=number
        )
        made = self._ledger.credit(note, draft)
        self.documents[made.number] = made
        return made.number

    def items(self) -> list[Any]:
        """What Stripe has of these customers, each item as it shows it."""
        return [item for customer in self.customers.values() for item in self._listed("invoiceitems", customer)]

    def invoices(self) -> list[Any]:
        return [found for customer in self.customers.values() for found in self._listed("invoices", customer)]

    def sent(self) -> Sent:
        """How often Stripe has each line, and of what amount."""
        found = self.items()
        return Counter(
            (i["metadata"]["meterline_invoice"], i["metadata"]["meterline_line"], i["amount"]) for i in found
        )

    def expected(self, numbers: Iterable[str] | None = None) -> Sent:
        found: Sent = Counter()
        for number in self.documents if numbers is None else numbers:
            document = self.documents[number]
            for place, line in enumerate(document.lines, 1):
                if line.amount:
                    found[number, str(place), in_units(line.amount, document.currency)] += 1
        return found

    def check(self, numbers: Iterable[str] | None = None) -> None:
        """Each line is at Stripe once, and what a customer has there is what its documents come to."""
        assert self.sent() == self.expected(numbers)
        sums: Counter[tuple[str, str]] = Counter()
        for item in self.items():
            sums[item["customer"], item["currency"]] += item["amount"]
        totals: Counter[tuple[str, str]] = Counter()
        for number in self.documents if numbers is None else numbers:
            document = self.documents[number]
            units = in_units(document.total, document.currency)
            totals[self.customers[document.tenant_id], document.currency.lower()] += units
        assert {key: value for key, value in sums.items() if value} == {k: v for k, v in totals.items() if v}

    def records(self) -> list[Items]:
        found = cluster.read_all(self.kafka.kafka, self.kafka.topic(topics.ITEMS))
        return [read_items(message.value()) for message in found if message.key() != MARK]

    def settings(self, **more: Any) -> StripeSettings:
        fields = {"url": self.stripe.url, "rate": 1000, "timeout": 2, "longest_wait": 0.2, "batch": 2, **more}
        return StripeSettings(**{"key": SecretStr(KEY), **fields})

    def site(self, later: timedelta = timedelta(0), **settings: Any) -> ItemSite:
        """Whose clock is ``later`` than it is."""
        audit = self._stack.enter_context(closing(AuditLog(self.kafka)))
        clock = lambda: datetime.now(UTC) + later  # noqa: E731
        return self._stack.enter_context(opened(self.settings(**settings), self.kafka, audit, clock))

    def customer(self, tenant: str) -> str | None:
        return self.customers.get(tenant)

    def start(self, crash: str = "", **settings: str) -> Started:
        self._runs += 1
        file = self._folder / f"customers-{self._runs}.json"
        file.write_text(json.dumps(self.customers))
        names = {"URL": self.stripe.url, "KEY": KEY, "CRASH": crash, "RATE": "1000", "TIMEOUT": "1", "BATCH": "2"}
        names |= {"LONGEST_WAIT": "0.2", **settings}
        environment = {
            **os.environ,
            "NO_PROXY": "127.0.0.1",
            "METERLINE_KAFKA": self.kafka.kafka,
            "METERLINE_TOPIC_PREFIX": self.kafka.topic_prefix,
            **{f"METERLINE_STRIPE_{name}": value for name, value in names.items()},
        }
        out, err = (self._folder / f"{name}-{self._runs}" for name in ("out", "err"))
        process = Started(
            "tests.api.billing.stripe.items.item_process", str(file), environment=environment, out=out, err=err
        )
        self._files[process] = out, err
        return process

    def finish(self, process: Started, *, killed: bool | None = False) -> Any:
        """What a run told; ``killed``: it must have died at its failpoint. None: it may have."""
        code = process.wait(120)
        out, err = (path.read_text() if path.exists() else "" for path in self._files[process])
        wanted = {False: (0,), True: (-signal.SIGKILL,), None: (0, -signal.SIGKILL)}[killed]
        assert code in wanted, err
        return json.loads(out) if code == 0 else None

    def run(self, **settings: str) -> Any:
        return self.finish(self.start(**settings))

    def stop(self) -> None:
        self._stack.close()

    def _listed(self, kind: str, customer: str) -> list[Any]:
        headers = {"Authorization": f"Bearer {KEY}"}
        found: list[Any] = []
        params: Mapping[str, str] = {"customer": customer, "limit": "100"}
        while True:
            address = f"{self.stripe.url}/v1/{kind}"
            page = httpx.get(address, params=params, headers=headers, trust_env=False).json()
            found += page["data"]
            if not page["has_more"]:
                return found
            params = {**params, "starting_after": page["data"][-1]["id"]}
