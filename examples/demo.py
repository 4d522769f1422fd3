"""``make demo``: the whole of Meterline in a minute, with the proof at the end.

Starts everything, drives real HTTP traffic through the metered service beside this file, prints usage per tenant and
metric, compares it with what the traffic sent, lists the alerts of tenants that came near their quota or over it, shows
the verdict of ``meterline reconcile``, and stops. KEEP=1 leaves it up.
DEMO_REQUESTS sets how many requests are sent (3000).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent / "metered_service"
DEFAULT_PORTS = {"--kafka-port": 9092, "--clickhouse-port": 8123, "--api-port": 3000}
KEPT = Path(".meterline-demo")
SHOWN = 12
INCLUDED = Decimal(100)  # orders of a tenant, as in limits.yaml
STEPS = (80, 100)  # percent of that

console = Console()


class DemoError(Exception):
    """A step failed; its text says which and what to look at."""


def main() -> int:
    keep = os.environ.get("KEEP", "") not in ("", "0")
    requests = int(os.environ.get("DEMO_REQUESTS", "3000"))
    data = KEPT.absolute() if keep else Path(tempfile.mkdtemp(prefix="meterline-demo-"))
    up: subprocess.Popen[str] | None = None
    done = False
    try:
        up = start(data)
        environment = settings(data)
        run(environment, data, "metrics", "apply", str(HERE / "metrics.yaml"))
        run(environment, data, "catalog", "apply", str(HERE / "limits.yaml"))
        with service(environment, data) as url:
            step(f"driving {requests} requests through the metered service at {url}")
            sent = traffic(url, requests)
            wait_for_producer(url)
        exact = show(environment, data, sent)
        exact = show_alerts(environment, data, sent) and exact
        step("proving it: meterline reconcile")
        proven = run(environment, data, "reconcile", check=False)
        done = exact and proven == 0
    except DemoError as error:
        console.print(f"[red]demo: {error}[/red]")
    except KeyboardInterrupt:
        console.print("interrupted")
    finally:
        if up is not None and not (keep and done):
            stop(up)
        if not keep:
            shutil.rmtree(data, ignore_errors=True)
    if keep and done and up is not None:
        console.print(
            f"\nleft up on {data}: `meterline env --data {data}` prints how to connect, `kill {up.pid}` stops it",
            highlight=False,
        )
    return 0 if done else 1


def step(text: str) -> None:
    console.print(f"[bold]== {text}[/bold]", highlight=False)


def start(data: Path) -> subprocess.Popen[str]:
    """``meterline up``, ready. Ports that are taken are replaced by free ones."""
    step("starting Kafka, ClickHouse, the stream processor, the sink and the API")
    options = [
        str(word) for name, port in DEFAULT_PORTS.items() for word in (name, port if free(port) else free_port())
    ]
    up = subprocess.Popen(
        command("up", "--data", str(data), *options),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # Ctrl-C is for the demo, which stops this in order
    )
    assert up.stdout is not None  # noqa: S101
    try:
        for line in up.stdout:
            console.print("   " + line.rstrip(), highlight=False)
            if line.startswith("ready"):
                return up
    except KeyboardInterrupt:
        stop(up)
        raise
    raise DemoError(f"meterline up ended with exit code {up.wait()}; its logs are in {data / 'logs'}")


def stop(up: subprocess.Popen[str]) -> None:
    step("stopping")
    if up.poll() is None:
        up.send_signal(signal.SIGTERM)
    try:
        up.wait(30)
    except subprocess.TimeoutExpired:
        up.kill()


def settings(data: Path) -> dict[str, str]:
    """What ``meterline env`` prints, as a dict."""
    lines = subprocess.run(command("env", "--data", str(data)), capture_output=True, text=True, check=True).stdout
    found = dict(os.environ)
    for line in lines.splitlines():
        if line.startswith("export "):
            name, _, value = line.removeprefix("export ").partition("=")
            found[name] = value.strip("'\"")
    return found


@contextmanager
def service(environment: dict[str, str], data: Path) -> Iterator[str]:
    """The metered service on a free port, answering."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with (data / "service.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, str(HERE / "app.py"), "--port", str(port)],
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        deadline = time.monotonic() + 30
        while stats(url) is None:
            if process.poll() is not None or time.monotonic() > deadline:
                raise DemoError(f"the metered service does not answer:\n{(data / 'service.log').read_text()[-2000:]}")
            time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(20)


def traffic(url: str, requests: int) -> dict[str, Any]:
    """What the traffic sent, as it counted it itself."""
    done = subprocess.run(
        [sys.executable, str(HERE / "traffic.py"), url, "--requests", str(requests)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise DemoError(f"the traffic failed: {done.stderr.strip()[-500:]}")
    summary: dict[str, Any] = json.loads(done.stdout)
    rate = summary["requests"] / summary["seconds"]
    console.print(
        f"   {summary['events']} events from {summary['tenants']} tenants, {rate:.0f} requests/s", highlight=False
    )
    return summary


def wait_for_producer(url: str) -> None:
    """Until Kafka acknowledged everything that was tracked."""
    deadline = time.monotonic() + 30
    while (found := stats(url)) is None or found["acknowledged"] < found["tracked"]:
        if time.monotonic() > deadline:
            raise DemoError(f"Kafka did not acknowledge everything: {found}")
        time.sleep(0.05)


def stats(url: str) -> dict[str, int] | None:
    try:
        with urllib.request.urlopen(f"{url}/usage/stats", timeout=2) as answer:
            found: dict[str, int] = json.load(answer)
            return found
    except (urllib.error.URLError, OSError):
        return None


def show(environment: dict[str, str], data: Path, sent: dict[str, Any]) -> bool:
    """Print usage per tenant and metric; whether it is what the traffic sent, to the last decimal."""
    step("usage per tenant and metric, as the API answers it")
    expected = {
        (tenant, metric): Decimal(value)
        for tenant, metrics in sent["usage"].items()
        for metric, value in metrics.items()
    }
    deadline = time.monotonic() + 30
    while (found := usage(environment)) != expected and time.monotonic() < deadline:
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
    words = "equal" if equal else "[red]DIFFERENT from[/red]"
    console.print(f"   {len(found)} totals, {words} {'to ' if equal else ''}what the traffic sent", highlight=False)
    return equal


def show_alerts(environment: dict[str, str], data: Path, sent: dict[str, Any]) -> bool:
    """Print each alert; whether every tenant that reached a step has one of it, and nobody a second."""
    step("alerts: each tenant, once at 80 and once at 100 % of its quota of orders")
    expected = sorted(
        (tenant, percent)
        for tenant, metrics in sent["usage"].items()
        for percent in STEPS
        if Decimal(metrics.get("orders", "0")) * 100 >= INCLUDED * percent
    )
    deadline = time.monotonic() + 30
    while len(found := alerts(environment, data)) < len(expected) and time.monotonic() < deadline:
        time.sleep(0.2)
    for alert in found[:SHOWN]:
        at, reached = alert["occurred_at"][11:19], f"{alert['step']} % of {alert['limit']}"
        console.print(f"   {at}  {alert['type']:<21}  {alert['tenant_id']}  orders: {reached}", highlight=False)
    if len(found) > SHOWN:
        console.print(f"   … {len(found) - SHOWN} more")
    equal = sorted((alert["tenant_id"], int(Decimal(alert["step"]))) for alert in found) == expected
    words = "each once" if equal else f"[red]but {len(expected)} were due, each once[/red]"
    console.print(f"   {len(found)} alerts, {words}", highlight=False)
    return equal


def alerts(environment: dict[str, str], data: Path) -> list[dict[str, Any]]:
    """The alerts of thresholds, from ClickHouse."""
    sql = (
        "SELECT occurred_at, type, tenant_id, toString(step) AS step, toString(`limit`) AS limit "
        "FROM notifications FINAL WHERE type IN ('threshold.approaching', 'threshold.exceeded') "
        "ORDER BY occurred_at, tenant_id, type"
    )
    words = command("sql", "--format", "JSONEachRow", sql, "--data", str(data))
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise DemoError(f"the alerts cannot be read: {done.stderr.strip()}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def usage(environment: dict[str, str]) -> dict[tuple[str, str], Decimal]:
    """This month's usage from ``GET /v1/usage``."""
    now = time.gmtime()
    following = (now.tm_year + now.tm_mon // 12, now.tm_mon % 12 + 1)
    query = (
        f"from={now.tm_year}-{now.tm_mon:02d}-01T00:00:00Z&to={following[0]}-{following[1]:02d}-01T00:00:00Z"
        "&window=month&group_by=tenant_id&group_by=metric&limit=1000"
    )
    request = urllib.request.Request(
        f"{environment['METERLINE_API_URL']}/v1/usage?{query}",
        headers={"Authorization": f"Bearer {environment['METERLINE_API_KEY']}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            rows = json.load(answer)["data"]
    except urllib.error.HTTPError as error:
        with error:
            raise DemoError(f"GET /v1/usage: {error.read().decode()[:500]}") from None
    return {(row["tenant_id"], row["metric"]): Decimal(row["value"]) for row in rows}


def run(environment: dict[str, str], data: Path, *words: str, check: bool = True) -> int:
    done = subprocess.run(command(*words, "--data", str(data)), env=environment, check=False).returncode
    if check and done != 0:
        raise DemoError(f"meterline {' '.join(words)} failed")
    return done


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "meterline_deploy", *words]


def free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    sys.exit(main())
