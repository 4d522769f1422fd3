"""A month of 21 companies: sent, counted, invoiced, told to Stripe's stand-in, and compared with it."""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import yaml
from rich.table import Table

from examples.demo.month import COMPANY, Month, midnight
from examples.demo.processes import Meterline, beside, console, free_port, say, step, wait_for
from meterline import UsageProducer

KEPT: Final = Path(".meterline-demo")
KEY: Final = "sk_test_demo"
SHOWN: Final = 5


class Stripe:
    """The stand-in, asked as anybody asks Stripe."""

    def __init__(self) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"

    @contextmanager
    def running(self, data: Path) -> Iterator[None]:
        words = [sys.executable, "-m", "meterline_deploy.stripe_stand_in", "--port", self.url.rpartition(":")[2]]
        data.mkdir(parents=True, exist_ok=True)
        log = data / "stripe.log"
        with beside(words, os.environ, log):
            wait_for(lambda: "listening" in log.read_text(), f"Stripe's stand-in does not start; see {log}")
            yield

    def environment(self) -> dict[str, str]:
        """What makes Meterline push there; jobs are done when the demo asks for them."""
        return {
            "METERLINE_STRIPE_KEY": KEY,
            "METERLINE_STRIPE_URL": self.url,
            "METERLINE_STRIPE_RATE": "500",
            "METERLINE_STRIPE_IN_FLIGHT": "32",
            "METERLINE_BILLING_ENABLED": "false",
            "METERLINE_BILLING_GRACE": "PT0S",
            "METERLINE_ACCEPT_PAST": "P70D",
        }

    def told(self, days: list[date]) -> dict[tuple[str, date, str], Decimal]:
        """Value by customer's name, day and meter's event name."""
        found: dict[tuple[str, date, str], Decimal] = defaultdict(Decimal)
        window = {
            "start_time": int(midnight(days[0]).timestamp()),
            "end_time": int(midnight(days[-1] + timedelta(days=1)).timestamp()),
            "value_grouping_window": "day",
        }
        meters = self._all("billing/meters", {})
        for customer in self._all("customers", {}):
            for meter in meters:
                path = f"billing/meters/{meter['id']}/event_summaries"
                for each in self._all(path, {"customer": customer["id"], **window}):
                    day = datetime.fromtimestamp(each["start_time"], UTC).date()
                    found[customer["name"], day, meter["event_name"]] += Decimal(str(each["aggregated_value"]))
        return found

    def _all(self, path: str, query: dict[str, Any]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            after = {"starting_after": found[-1]["id"]} if found else {}
            url = f"{self.url}/v1/{path}?{urlencode({**query, **after, 'limit': 100})}"
            request = urllib.request.Request(url, headers={"Authorization": f"Bearer {KEY}"})
            with urllib.request.urlopen(request, timeout=30) as answer:
                page = json.load(answer)
            found += page["data"]
            if not page["has_more"]:
                return found


def show(meterline: Meterline, stripe: Stripe, now: datetime) -> bool:
    """Whether invoices, and what Stripe was told, are what was used, by counts of the demo's own."""
    month = Month(now)
    _set_up(meterline, month)
    step(f"a month of {len(month.invoiced) + len(month.metered)} companies: {len(month.used):,} events")
    _send(meterline, month)
    equal = _close(meterline, month)
    return _push(meterline, stripe, month) and equal


def _set_up(meterline: Meterline, month: Month) -> None:
    step("a plan, companies on it, and a meter at Stripe for each metric")
    meterline.run_briefly("catalog", "apply", "--defaults", "plan-order-management")
    catalog = meterline.data / "companies.yaml"
    catalog.write_text(yaml.safe_dump(month.catalog(), sort_keys=False))
    meterline.run_briefly("catalog", "apply", str(catalog))
    metered = [word for tenant in month.metered for word in ("--tenant", tenant)]
    words = ("stripe", "setup", *metered, "--billing", "meter", "--since", month.days[0].isoformat())
    meterline.run_briefly(*words, line=0)


def _send(meterline: Meterline, month: Month) -> None:
    before = _counted(meterline)
    with UsageProducer(meterline.environment["METERLINE_KAFKA"]) as usage:
        for used in month.used:
            usage.track(used.tenant, used.metric, used.quantity, timestamp=used.at)
    wait_for(
        lambda: _counted(meterline) >= before + len(month.used), "the events of the month are not in ClickHouse", 60
    )


def _counted(meterline: Meterline) -> int:
    (row,) = meterline.sql("SELECT sum(accepted) AS accepted FROM usage_freshness")
    return int(row["accepted"])


def _close(meterline: Meterline, month: Month) -> bool:
    step(f"closing {month.start:%B %Y}: an invoice for each of the {len(month.invoiced)} that we bill")
    meterline.run("billing", "run", "close", "--due", "now", "--wait")
    expected = month.totals()
    found: list[dict[str, Any]] = []

    def there() -> bool:
        found[:] = json.loads(meterline.get("/v1/invoices?limit=1000"))["data"]
        return len(found) >= len(expected)

    wait_for(there, f"there are only {len(found)} invoices")
    table = Table("invoice", "company", "period", "total", "counted by the demo")
    table.columns[3].justify = table.columns[4].justify = "right"
    for each in sorted(found, key=lambda one: one["tenant_id"] != COMPANY)[:SHOWN]:
        mine = expected.get(each["tenant_id"], Decimal(0))
        table.add_row(each["number"], each["tenant_id"], each["from"][:7], each["total"], f"{mine:.2f}")
    table.add_row(f"… {len(found) - SHOWN} more", *[""] * 4)
    console.print(table)
    totals = {each["tenant_id"]: Decimal(each["total"]) for each in found}
    equal = totals == expected and len(found) == len(expected)
    say(f"{len(found)} invoices, {'equal to' if equal else '[red]DIFFERENT from[/red]'} a count of the demo's own")
    number = next(each["number"] for each in found if each["tenant_id"] == COMPANY)
    _show_invoice(json.loads(meterline.get(f"/v1/invoices/{number}")))
    KEPT.mkdir(exist_ok=True)
    file = KEPT / f"{number}.pdf"
    file.write_bytes(meterline.get(f"/v1/invoices/{number}?format=pdf"))
    say(f"as a PDF: {file}")
    return equal


def _show_invoice(invoice: dict[str, Any]) -> None:
    table = Table(f"{invoice['number']} of {invoice['tenant_name']}", "quantity", "rate", "amount")
    for column in table.columns[1:]:
        column.justify = "right"
    for line in invoice["lines"]:
        per = f" per {line['per']}" if line.get("per") not in (None, "1") else ""
        rate = "" if line["rate"] is None else f"{line['rate']}{per}"
        table.add_row(line["name"] or "Base fee", line["quantity"] or "", rate, line["amount"])
    table.add_row("[bold]Total[/bold]", "", "", f"[bold]{invoice['total']} {invoice['currency']}[/bold]")
    console.print(table)


def _push(meterline: Meterline, stripe: Stripe, month: Month) -> bool:
    step(f"telling Stripe {len(month.days)} days of the {len(month.metered)} that it bills, and comparing it all")
    meterline.run("billing", "run", "push", "--due", "now", "--wait")
    meterline.run("billing", "run", "reconcile", "--due", "now", "--wait")
    expected = month.told()
    found = {key: value for key, value in stripe.told(month.days).items() if key[2] != "storage"}
    equal = found == expected
    words = "equal to" if equal else "[red]DIFFERENT from[/red]"
    say(f"{len(found):,} days of meters at Stripe, {words} what was used")
    return equal
