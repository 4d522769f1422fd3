"""``make demo``: the whole of Meterline in two minutes, with the proof at the end.

Starts everything, drives real HTTP traffic through the metered service, prints usage per tenant and metric and compares
it with what the traffic sent, and lists the alerts of tenants that came near their quota or over it. Then a month of 21
companies: usage, invoices, a PDF, and what Stripe is told, at a stand-in on this machine. At the end the verdict of
``meterline reconcile``. Stops everything; KEEP=1 leaves it up.

DEMO_REQUESTS sets how many requests are sent (3000).
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from examples.demo import billing, live
from examples.demo.billing import KEPT, Stripe
from examples.demo.processes import DemoError, Meterline, console, step


def main() -> int:
    for ended in (signal.SIGTERM, signal.SIGHUP):  # as where the terminal is closed
        signal.signal(ended, signal.default_int_handler)
    keep = os.environ.get("KEEP", "") not in ("", "0")
    requests = int(os.environ.get("DEMO_REQUESTS", "3000"))
    data = (KEPT / "data").absolute() if keep else Path(tempfile.mkdtemp(prefix="meterline-demo-"))
    done = False
    meterline: Meterline | None = None
    with ExitStack() as beside:
        try:
            stripe = Stripe()
            beside.enter_context(stripe.running(data))
            step("starting Kafka, ClickHouse, the stream processor, the sink and the API")
            meterline = Meterline(data, stripe.environment())
            exact = live.show(meterline, requests)
            exact = billing.show(meterline, stripe, datetime.now(UTC)) and exact
            step("proving it: meterline reconcile")
            done = meterline.run("reconcile", check=False) == 0 and exact
        except DemoError as error:
            console.print(f"[red]demo: {error}[/red]")
        except KeyboardInterrupt:
            console.print("interrupted")
        finally:
            if meterline is not None and not (keep and done):
                meterline.stop()
            if not keep:
                shutil.rmtree(data, ignore_errors=True)
    if keep and done and meterline is not None:
        console.print(
            f"\nleft up on {data}: `meterline env --data {data}` prints how to connect, "
            f"`kill {meterline.pid}` stops it",
            highlight=False,
        )
    return 0 if done else 1


if __name__ == "__main__":
    sys.exit(main())
