"""gunicorn with ``--preload`` and two workers: every request is counted exactly once, whichever worker answers."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.producers.middleware import serving
from tests.producers.reading import create_topic, events


def test_every_request_of_preloaded_and_forked_workers_is_counted_exactly_once(kafka: str, prefix: str) -> None:
    create_topic(kafka, prefix)
    answered: Counter[str] = Counter()
    site = "tests.producers.middleware.sites.flask_site"
    command = (
        "gunicorn",
        "--no-control-socket",
        "--preload",
        "--workers",
        "2",
        "--bind",
        "127.0.0.1:{port}",
        f"{site}:app",
    )
    with serving.process(*command, METERLINE_KAFKA=kafka, METERLINE_TOPIC_PREFIX=prefix) as base:

        def call(number: int) -> str:
            answer = httpx.get(f"{base}/items/{number}", headers={"x-tenant": f"tenant-{number % 5}"}, timeout=30)
            assert answer.status_code == 200
            return answer.text

        with ThreadPoolExecutor(8) as pool:
            deadline = time.monotonic() + 60
            while len(answered) < 2 or answered.total() < 400:
                assert time.monotonic() < deadline, answered
                answered.update(pool.map(call, range(100)))
        file = httpx.get(f"{base}/file", headers={"x-tenant": "file"})  # which gunicorn would send by itself
        assert file.text == (serving.ROOT / f"{site.replace('.', '/')}.py").read_text()
    found = events(kafka, prefix)
    assert len({event["id"] for event in found}) == len(found)
    assert Counter(event["tenant_id"] for event in found) == {
        "master": 1,
        "file": 1,
        **{f"tenant-{number}": answered.total() // 5 for number in range(5)},
    }
    calls = [event["properties"] for event in found if event["tenant_id"].startswith("tenant-")]
    assert Counter(str(call["pid"]) for call in calls) == answered
    assert {call["endpoint"] for call in calls} == {"/items/<int:id>"}
