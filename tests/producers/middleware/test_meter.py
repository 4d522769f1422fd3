"""What is counted and said about requests, in one process and after a fork."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading

import pytest

from meterline.middleware import MiddlewareStats
from meterline.middleware.meter import Meter
from meterline.middleware.rules import Rules
from tests.producers.middleware.recording import Recording

FORKING = """
import os, sys, threading
from meterline.middleware import MiddlewareStats, stats
from meterline.middleware.meter import Meter
from meterline.middleware.rules import Rules

meter = Meter(Rules(tenant=lambda request: None), None, lambda request: "/x")
meter.payer({}, 200)
assert stats() == MiddlewareStats(skipped={"no_tenant": 1})
held = threading.Event()
threading.Thread(target=lambda: meter._lock.acquire() and held.set()).start()
held.wait()
child = os.fork()
if child == 0:
    assert stats() == MiddlewareStats()
    meter.payer({}, 500)
    assert stats() == MiddlewareStats(skipped={"status": 1})
    os._exit(7)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_fork_has_counts_of_its_own_even_while_another_thread_counts() -> None:
    done = subprocess.run([sys.executable, "-c", FORKING], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 7, done.stderr


def test_skips_of_many_threads_are_all_counted_and_each_reason_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    meter = Meter(Rules(tenant=lambda request: request["tenant"]), Recording(), lambda _request: "/x")

    def work() -> None:
        for _ in range(500):
            meter.payer({"tenant": None}, 200)
            meter.payer({}, 200)
            meter.payer({}, 503)

    threads = [threading.Thread(target=work) for _ in range(4)]
    with caplog.at_level(logging.WARNING, "meterline"):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert meter.stats() == MiddlewareStats(skipped={"no_tenant": 2_000, "tenant_failed": 2_000, "status": 2_000})
    assert len(caplog.messages) == 2
    assert "requests not counted (no_tenant): 1, for example: /x was answered 200" in caplog.text
    assert "KeyError: 'tenant'" in caplog.text


def test_properties_of_the_wrong_kind_are_left_out_and_the_request_counts() -> None:
    recording = Recording()
    rules = Rules(tenant=lambda _request: 7, properties=lambda _request: [1])  # type: ignore[arg-type,return-value]
    meter = Meter(rules, recording, lambda _request: "/x")
    payer = meter.payer({}, 200)
    assert payer is not None
    assert payer.extra is None
    assert meter.stats() == MiddlewareStats(incomplete=1)
