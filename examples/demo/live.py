"""Live: HTTP traffic through the metered service, the usage that it comes to, and the alerts."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from examples.demo.processes import DemoError, Meterline, beside, console, free_port, say, step, wait_for

HERE: Final = Path(__file__).parents[1] / "metered_service"
SHOWN: Final = 12
INCLUDED: Final = Decimal(100)  # orders of a tenant, as in limits.yaml
STEPS: Final = (80, 100)  # percent of that


def show(meterline: Meterline, requests: int) -> bool:
    """Whether usage and alerts are what the traffic sent, to the last decimal."""
    meterline.run("metrics", "apply", str(HERE / "metrics.yaml"))
    meterline.run("catalog", "apply", str(HERE / "limits.yaml"))
    url = f"http://127.0.0.1:{free_port()}"
    log = meterline.data / "service.log"
    with beside([sys.executable, str(HERE / "app.py"), "--port", url.rpartition(":")[2]], meterline.environment, log):
        try:
            wait_for(lambda: _stats(url) is not None, "")
        except DemoError:
            raise DemoError(f"the metered service does not answer:\n{log.read_text()[-2000:]}") from None
        step(f"driving {requests} requests through the metered service at {url}")
        sent = _traffic(url, requests)
        wait_for(lambda: _acknowledged(url), "Kafka did not acknowledge everything that was tracked")
    exact = _show_usage(meterline, sent)
    return _show_alerts(meterline, sent) and exact


def _traffic(url: str, requests: int) -> dict[str, Any]:
    """What the traffic sent, as it counted it itself."""
    words = [sys.executable, str(HERE / "traffic.py"), url, "--requests", str(requests)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise DemoError(f"the traffic failed: {done.stderr.strip()[-500:]}")
    summary: dict[str, Any] = json.loads(done.stdout)
    rate = summary["requests"] / summary["seconds"]
    say(f"{summary['events']} events from {summary['tenants']} tenants, {rate:.0f} requests/s")
    return summary


def _stats(url: str) -> dict[str, int] | None:
    try:
        with urllib.request.urlopen(f"{url}/usage/stats", timeout=2) as answer:
            found: dict[str, int] = json.load(answer)
            return found
    except (urllib.error.URLError, OSError):
        return None


def _acknowledged(url: str) -> bool:
    found = _stats(url)
    return found is not None and found["acknowledged"] >= found["tracked"]


def _show_usage(meterline: Meterline, sent: dict[str, Any]) -> bool:
    step("usage per tenant and metric, as the API answers it")
    expected = {
        (tenant, metric): Decimal(value)
        for tenant, metrics in sent["usage"].items()
        for metric, value in metrics.items()
    }
    deadline = time.monotonic() + 30
    while (found := _usage(meterline)) != expected and time.monotonic() < deadline:
        time.sleep(0.2)
    metrics = sorted({metric for _tenant, metric in found})
    table = Table("tenant", *metrics)
    for column in table.columns[1:]:
        column.justify = "right"
    tenants = sorted(
        {tenant for tenant, _metric in found}, key=lambda name: -found.get((name, "api_calls"), Decimal(0))
    )
    for tenant in tenants[:SHOWN]:
        table.add_row(
            tenant, *(format(found[tenant, metric], "f") if (tenant, metric) in found else "" for metric in metrics)
        )
    if len(tenants) > SHOWN:
        table.add_row(f"… {len(tenants) - SHOWN} more", *("" for _metric in metrics))
    console.print(table)
    equal = found == expected
    say(f"{len(found)} totals, {'equal to' if equal else '[red]DIFFERENT from[/red]'} what the traffic sent")
    return equal


def _show_alerts(meterline: Meterline, sent: dict[str, Any]) -> bool:
    """Print each alert; whether every tenant that reached a step has one of it, and nobody a second."""
    step("alerts: each tenant, once at 80 and once at 100 % of its quota of orders")
    expected = sorted(
        (tenant, percent)
        for tenant, metrics in sent["usage"].items()
        for percent in STEPS
        if Decimal(metrics.get("orders", "0")) * 100 >= INCLUDED * percent
    )
    deadline = time.monotonic() + 30
    while len(found := _alerts(meterline)) < len(expected) and time.monotonic() < deadline:
        time.sleep(0.2)
    for alert in found[:SHOWN]:
        at, reached = alert["occurred_at"][11:19], f"{alert['step']} % of {alert['limit']}"
        say(f"{at}  {alert['type']:<21}  {alert['tenant_id']}  orders: {reached}")
    if len(found) > SHOWN:
        say(f"… {len(found) - SHOWN} more")
    equal = sorted((alert["tenant_id"], int(Decimal(alert["step"]))) for alert in found) == expected
    words = "each once" if equal else f"[red]but {len(expected)} were due, each once[/red]"
    say(f"{len(found)} alerts, {words}")
    return equal


def _alerts(meterline: Meterline) -> list[dict[str, Any]]:
    return meterline.sql(
        "SELECT occurred_at, type, tenant_id, toString(step) AS step, toString(`limit`) AS limit "
        "FROM notifications FINAL WHERE type IN ('threshold.approaching', 'threshold.exceeded') "
        "ORDER BY occurred_at, tenant_id, type"
    )


def _usage(meterline: Meterline) -> dict[tuple[str, str], Decimal]:
    """This month's usage from ``GET /v1/usage``."""
    now = time.gmtime()
    following = (now.tm_year + now.tm_mon // 12, now.tm_mon % 12 + 1)
    query = (
        f"from={now.tm_year}-{now.tm_mon:02d}-01T00:00:00Z&to={following[0]}-{following[1]:02d}-01T00:00:00Z"
        "&window=month&group_by=tenant_id&group_by=metric&limit=1000"
    )
    rows = json.loads(meterline.get(f"/v1/usage?{query}"))["data"]
    return {(row["tenant_id"], row["metric"]): Decimal(row["value"]) for row in rows}
