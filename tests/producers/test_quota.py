"""Quota checks: who is blocked is refused before the call; an API that does not answer holds nobody up."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import socket
import ssl
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest

from meterline.decorator import track_usage
from meterline.extractors import arg, result
from meterline.quota import QuotaExceededError, QuotaUnavailableError
from meterline.quota_check import QuotaCheck
from meterline.testing import InMemoryProducer
from meterline_schemas.catalog import Metric, Quota, Threshold
from meterline_schemas.counter import Counter
from meterline_schemas.errors import ConfigurationError
from meterline_schemas.periods import FIRST, LAST
from tests.api.counters import counter, write
from tests.api.process import KEY, ApiProcess
from tests.producers.quota_api import Api
from tests.services.certificates import Authority
from tests.services.kafka import create_topics
from tests.support.cluster import producer as kafka_producer
from tests.support.streams import wait_until

PARTITIONS: Final = 4


@pytest.fixture
def api() -> Iterator[Api]:
    server = Api()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.answering.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def tls_api(api: Api, tmp_path: Path) -> Authority:
    """That API with a certificate, of an authority that this machine does not know."""
    authority = Authority(tmp_path, "authority")
    identity = authority.issue("api", "127.0.0.1")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(identity.certificate, identity.key)
    api.socket = context.wrap_socket(api.socket, server_side=True)
    api.url = api.url.replace("http:", "https:")
    return authority


Make = Callable[..., QuotaCheck]


@pytest.fixture
def make(api: Api) -> Iterator[Make]:
    """A check of that API, closed at the end."""
    made: list[QuotaCheck] = []

    def make(**settings: Any) -> QuotaCheck:
        made.append(QuotaCheck(**{"url": api.url, "api_key": KEY, "timeout": 20, "cache_seconds": 60, **settings}))
        return made[-1]

    yield make
    api.answering.set()
    for check in made:
        check.close()


@pytest.fixture
def producer() -> InMemoryProducer:
    return InMemoryProducer()


def decorated(check: Any, producer: InMemoryProducer, **more: Any) -> tuple[Callable[..., str], list[str]]:
    made: list[str] = []

    @track_usage("orders", **{"tenant": arg("tenant_id"), "check": check, "producer": producer, **more})
    def order(tenant_id: str, user: str | None = None) -> str:
        made.append(tenant_id)
        return tenant_id

    return order, made


def test_who_is_blocked_is_refused_before_the_call_and_counts_nothing(
    api: Api, make: Make, producer: InMemoryProducer
) -> None:
    order, made = decorated(make(), producer, when="always", subject=arg("user"))
    assert order("acme") == "acme"
    with pytest.raises(QuotaExceededError) as refused:
        order("full & more", "user:1")
    error = refused.value
    assert (error.status, error.code) == (403, "quota_exceeded")
    assert (error.tenant_id, error.metric, error.subject) == ("full & more", "orders", "user:1")
    assert (error.used, error.limit) == (Decimal("75.5"), Decimal(60))
    assert error.resets_at == datetime(2026, 11, 22, tzinfo=UTC)
    assert str(error) == (
        "'full & more' ('user:1') used 75.5 of 60 of 'orders', which blocks more of it: "
        "raise the limit, or wait until 2026-11-22T00:00:00+00:00"
    )
    assert made == ["acme"]
    assert api.asked == [("acme", "orders", ""), ("full & more", "orders", "user:1")]
    producer.assert_tracked("acme", "orders", times=1)
    producer.assert_not_tracked("full & more")


def test_the_error_passes_between_processes() -> None:
    error = QuotaExceededError("acme", "orders", "u", Decimal(7), Decimal(6), None)
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.args, vars(copy)) == (error.args, vars(error))


def test_coroutines_and_generators_are_refused_too_and_the_loop_goes_on(
    api: Api, make: Make, producer: InMemoryProducer
) -> None:
    usage = track_usage("orders", tenant=arg("tenant_id"), check=make(), producer=producer)

    @usage
    async def order(tenant_id: str) -> str:
        return tenant_id

    @usage
    async def arows(tenant_id: str) -> Any:
        yield tenant_id

    @usage
    def rows(tenant_id: str) -> Iterator[str]:
        yield tenant_id

    troubles: list[dict[str, Any]] = []

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, trouble: troubles.append(trouble))
        api.answering.clear()
        waiting = [asyncio.create_task(order("acme")) for _ in range(5)]
        ticks = 0
        while ticks < 20:  # the loop is not held up while the API thinks
            await asyncio.sleep(0)
            ticks += 1
        assert not any(task.done() for task in waiting)
        waiting[0].cancel()
        api.answering.set()
        assert await asyncio.gather(*waiting[1:]) == ["acme"] * 4
        with pytest.raises(QuotaExceededError):
            await order("full")
        with pytest.raises(QuotaExceededError):
            await arows("full").__anext__()

    asyncio.run(run())
    assert troubles == []
    with pytest.raises(QuotaExceededError):
        next(rows("full"))
    assert api.asked == [("acme", "orders", ""), ("full", "orders", "")], "one question for all who wait"


def test_an_answer_holds_for_some_seconds(api: Api, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [time.monotonic()]
    monkeypatch.setattr("meterline.quota_check.time.monotonic", lambda: now[0])
    check = make(cache_seconds=5)
    for _ in range(3):
        status = check.status("acme", "orders")
        assert status is not None
        assert (status.used, status.included, status.remaining, status.blocked) == (
            Decimal(75),
            Decimal(50),
            Decimal(0),
            False,
        )
    check.status("acme", "exports")
    check.status("acme", "orders", "user:1")
    assert len(api.asked) == 3
    now[0] += 5
    check.status("acme", "orders")
    assert len(api.asked) == 4


def test_what_is_remembered_is_bounded(api: Api, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meterline.quota_check._MAX_ANSWERS", 3)
    check = make()
    for tenant_id in ("a", "b", "c", "d", "d", "b", "a"):
        check.status(tenant_id, "orders")
    assert [tenant_id for tenant_id, _metric, _subject in api.asked] == ["a", "b", "c", "d", "a"]


def dead() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def test_without_an_answer_calls_go_on_and_are_counted(
    api: Api, make: Make, producer: InMemoryProducer, caplog: pytest.LogCaptureFixture
) -> None:
    check = make(url=dead())
    order, made = decorated(check, producer)
    order("full")
    order("full")
    assert made == ["full", "full"]
    assert check.unanswered == 2
    producer.assert_tracked("full", "orders", times=2)
    (record,) = caplog.records
    assert "usage went on without a quota check (1 times)" in record.getMessage()
    assert KEY not in caplog.text


def test_closed_calls_are_refused_without_an_answer(make: Make, producer: InMemoryProducer) -> None:
    order, made = decorated(make(url=dead(), fail="closed"), producer)
    with pytest.raises(QuotaUnavailableError, match="does not answer") as refused:
        order("acme")
    assert (refused.value.status, refused.value.code) == (503, "quota_unavailable")
    assert made == []


@pytest.mark.parametrize("status", [401, 429, 500, 503])
def test_an_api_that_refuses_is_left_alone_for_a_while(api: Api, make: Make, status: int) -> None:
    check = make(fail="closed")
    api.status = status
    for tenant_id in ("acme", "other"):
        with pytest.raises(QuotaUnavailableError, match=f"HTTP {status}: what is wrong"):
            check.require(tenant_id, "orders")
    assert len(api.asked) == 1


def test_a_metric_that_is_not_defined_says_nothing_of_others(api: Api, make: Make) -> None:
    check = make(fail="closed")
    api.status = 404
    for _ in range(2):
        with pytest.raises(QuotaUnavailableError, match="HTTP 404: what is wrong"):
            check.require("acme", "orderz")
    api.status = 200
    check.require("acme", "orders")
    assert len(api.asked) == 2


def test_nobody_waits_longer_than_the_timeout(api: Api, make: Make) -> None:
    api.answering.clear()
    check = make(timeout=0.05)
    assert check.status("acme", "orders") is None
    assert check.status("other", "orders") is None, "the API is left alone for a while"

    async def run() -> None:
        assert await make(timeout=0.05).astatus("acme", "orders") is None

    asyncio.run(run())
    assert check.unanswered == 2
    assert api.asked == []


def test_nobody_waits_for_an_answer_that_comes_byte_by_byte(make: Make) -> None:
    gone = threading.Event()

    def drip() -> None:
        connection, _address = listener.accept()
        with connection, suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nX-Drip: ")
            for _ in range(500):
                connection.sendall(b"x")
                if gone.wait(0.01):
                    return
        gone.set()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip)
        thread.start()
        check = make(url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=0.2)
        assert check.status("acme", "orders") is None
        assert not gone.is_set(), "it waited for all of it"
        gone.set()
        thread.join()


def test_a_tenant_that_cannot_be_had_before_the_call_is_as_no_answer(make: Make, producer: InMemoryProducer) -> None:
    order, made = decorated(make(), producer, tenant=lambda call: call.args["nobody"])
    assert order("acme") == "acme"
    order, made = decorated(make(fail="closed"), producer, tenant=lambda call: call.args["nobody"])
    with pytest.raises(QuotaUnavailableError):
        order("acme")
    assert made == []
    with pytest.raises(ConfigurationError, match="before the call"):
        decorated(make(), producer, subject=result("user"))


def test_the_certificate_of_the_api_is_checked(api: Api, tls_api: Authority, make: Make) -> None:
    with pytest.raises(QuotaUnavailableError, match="certificate verify failed"):
        make(fail="closed").require("acme", "orders")
    context = ssl.create_default_context(cafile=tls_api.certificate)
    make(fail="closed", ssl_context=context).require("acme", "orders")
    assert api.asked == [("acme", "orders", "")]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_child_asks_for_itself(api: Api, make: Make) -> None:
    check = make()
    check.status("acme", "orders")
    held = check._lock
    with held:  # as another thread of the parent may
        child = os.fork()
        if child == 0:
            signal.alarm(30)
            try:
                status = check.status("other", "orders")
                os._exit(0 if status is not None and status.tenant_id == "other" else 1)
            finally:
                os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert [tenant_id for tenant_id, _metric, _subject in api.asked] == ["acme", "other"]


def test_a_check_that_is_closed_asks_again_when_needed(api: Api, make: Make) -> None:
    check = make(cache_seconds=0)
    check.require("acme", "orders")
    check.close()
    check.close()
    check.require("acme", "orders")
    assert len(api.asked) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": ""},
        {"url": "meterline.example"},
        {"url": "ftp://meterline.example"},
        {"url": "http://meterline.example:x"},
        {"url": "http://user:secret@meterline.example"},
        {"api_key": ""},
        {"api_key": "secret\nX-Header: 1"},
        {"timeout": 0},
        {"cache_seconds": -1},
        {"fail": "maybe"},
    ],
    ids=str,
)
def test_settings_that_cannot_work_are_refused_and_no_secret_is_shown(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as refused:
        QuotaCheck(**{"url": "http://127.0.0.1:1", "api_key": KEY, **wrong})
    assert "secret" not in str(refused.value)


def test_settings_come_from_the_environment_and_the_key_is_not_shown(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METERLINE_API_URL", api.url + "/")
    monkeypatch.setenv("METERLINE_API_KEY", KEY)
    check = QuotaCheck(timeout=20)
    with pytest.raises(QuotaExceededError):
        check.require("full", "orders")
    check.close()
    assert KEY not in repr(check) + repr(vars(check))


def used(tenant_id: str, amount: str) -> Counter:
    return counter(tenant_id, PARTITIONS, calendar="never", start=FIRST, end=LAST, count=1, sum=amount)


def test_the_real_api_blocks_from_the_limit_until_it_is_raised(
    kafka: str, tmp_path: Path, producer: InMemoryProducer
) -> None:
    prefix = f"sdk-quota-{uuid.uuid4().hex[:8]}."
    create_topics(kafka, prefix, PARTITIONS)
    sender = kafka_producer(kafka)

    def define(*entries: Metric | Quota | Threshold) -> None:
        for entry in entries:
            sender.produce(prefix + "meterline.config", entry.encode(), entry.record_key)
        assert sender.flush(30) == 0

    quota = {"metric": "orders", "included": "50"}
    define(
        Metric.model_validate({"key": "orders", "unit": "order", "reset_period": "never"}),
        Quota.model_validate(quota),
        Threshold.model_validate({"id": "stop", "metric": "orders", "action": "block"}),
    )
    write(kafka, prefix, used("acme", "49.5"), used("full", "50"))
    process = ApiProcess(kafka, prefix, None, tmp_path)
    process.start()
    url = str(process.client.base_url)
    check = QuotaCheck(url, KEY, timeout=20, cache_seconds=0, fail="closed")
    try:
        wait_until(lambda: _known(check, "full") == "blocked", 30, "the counters are read")
        order, _made = decorated(check, producer)
        assert order("acme") == "acme"
        with pytest.raises(QuotaExceededError, match="'full' used 50 of 50 of 'orders'") as refused:
            order("full")
        assert (refused.value.used, refused.value.limit, refused.value.resets_at) == (Decimal(50), Decimal(50), None)
        status = check.status("acme", "orders")
        assert status is not None
        assert (status.remaining, status.has_quota, status.unlimited) == (Decimal("0.5"), True, False)
        with pytest.raises(QuotaUnavailableError, match="'orderz' is not defined"):
            check.require("acme", "orderz")
        with pytest.raises(QuotaUnavailableError, match="HTTP 401"):
            QuotaCheck(url, "wrong", timeout=20, fail="closed").require("acme", "orders")
        define(Quota.model_validate({**quota, "tenant_id": "full", "included": "51"}))
        wait_until(lambda: _known(check, "full") == "free", 30, "the quota is raised")
        assert order("full") == "full"
    finally:
        check.close()
        assert process.stop() == 0
    with pytest.raises(QuotaUnavailableError, match="does not answer"):
        check.require("acme", "orders")


def _known(check: QuotaCheck, tenant_id: str) -> str:
    try:
        check.require(tenant_id, "orders")
    except QuotaExceededError:
        return "blocked"
    except QuotaUnavailableError:
        return "unknown"
    return "free"
