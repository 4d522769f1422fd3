"""A Django site under gunicorn (WSGI) and uvicorn (ASGI), its events read from the broker."""

from __future__ import annotations

import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.test.utils import override_settings

from meterline.middleware import header
from meterline.middleware.django import UsageMiddleware
from tests.producers.middleware import serving
from tests.producers.reading import create_topic, events
from tests.support.streams import wait_until

SITE = "tests.producers.middleware.sites.django_site"
GUNICORN = ("gunicorn", "--no-control-socket", "--preload", "--workers", "2", "--bind", "127.0.0.1:{port}")
SERVERS = {
    "wsgi": (*GUNICORN, "django.core.wsgi:get_wsgi_application()"),
    "asgi": ("uvicorn", "--port", "{port}", "--factory", "django.core.asgi:get_asgi_application"),
}
HEADERS = {"x-tenant": "acme", "user-agent": "tests"}


class Site:
    def __init__(self, server: str, kafka: str, prefix: str) -> None:
        create_topic(kafka, prefix)
        self.server, self.kafka, self.prefix = server, kafka, prefix

    def serve(self, **more: str) -> AbstractContextManager[str]:
        environment = {
            "DJANGO_SETTINGS_MODULE": SITE,
            "METERLINE_KAFKA": self.kafka,
            "METERLINE_TOPIC_PREFIX": self.prefix,
            "PYTHONWARNINGS": "ignore",  # of an async stream under WSGI
        }
        return serving.process(*SERVERS[self.server], **environment, **more)

    def wait_for(self, count: int) -> None:
        """uvicorn ends by SIGTERM without running exit handlers, and Django has no lifespan: nothing flushes there."""
        if self.server == "asgi":
            wait_until(lambda: len(self.events()) >= count, 30, "the events to arrive")

    def events(self) -> list[dict[str, Any]]:
        return events(self.kafka, self.prefix)


@pytest.fixture(params=SERVERS)
def site(request: pytest.FixtureRequest, kafka: str, prefix: str) -> Site:
    return Site(request.param, kafka, prefix)


def test_every_call_counts_once_with_the_route_and_the_user_of_a_later_middleware(site: Site) -> None:
    with site.serve() as base, ThreadPoolExecutor(4) as pool:

        def ask(path: str) -> int:
            return httpx.get(base + path, headers=HEADERS, timeout=30).status_code

        counted = list(pool.map(ask, [f"/api/v1/items/{n + 100}/" for n in range(60)]))
        counted += [ask("/slowly/"), ask("/api/v1/numbered/7/")]
        passed_over = [ask("/nowhere/"), ask("/health/"), ask("/slowly"), ask("/api/v1/items/13/")]
        passed_over += [httpx.get(base + "/slowly/").status_code]
        site.wait_for(62)
    assert set(counted) == {200}
    assert passed_over == [404, 200, 404, 500, 200]
    found = site.events()
    assert len({event["id"] for event in found}) == len(found) == 62
    assert {(event["tenant_id"], event["subject"], event["quantity"]) for event in found} == {
        ("acme", "acme-user", "1")
    }
    assert {(event["properties"]["method"], event["properties"]["agent"]) for event in found} == {("GET", "tests")}
    assert Counter(event["properties"]["endpoint"] for event in found) == {
        "/api/v1/items/<int:id>/": 60,
        "/slowly/": 1,
        r"/api/v1/numbered/(?P<id>\d+)/$": 1,
    }


def test_bytes_out_are_those_of_streamed_pieces_files_and_plain_answers(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"f" * 300_000)
    paths = ("/stream/", "/stream-async/", "/file/", "/slowly/")
    with site.serve(SITE_QUANTITY="bytes_out", SITE_FILE=str(tmp_path / "file")) as base:
        got = {path: str(len(httpx.get(base + path, headers=HEADERS).content)) for path in paths}
        site.wait_for(4)
    assert got == {"/stream/": "20004", "/stream-async/": "20004", "/file/": "300000", "/slowly/": "4"}
    assert {each["properties"]["endpoint"]: each["quantity"] for each in site.events()} == got


def test_bytes_in_are_those_that_forms_uploads_and_bodies_read_each_once(site: Site) -> None:
    with site.serve(SITE_QUANTITY="bytes_in") as base, httpx.Client(base_url=base, headers=HEADERS) as client:
        upload = client.build_request(
            "POST", "/upload/", data={"text": "x" * 10}, files={"a": b"a" * 70_000, "b": b"b" * 20}
        )
        size = len(upload.read())
        assert client.send(upload).text == "70030"
        assert client.post("/upload/", data={"text": "y" * 2_000}).text == "2000"
        assert client.post("/body/", content=b"z" * 3_000).text == "3000 3000 0 3000"
        assert client.get("/slowly/").status_code == 200
        site.wait_for(4)
    found = sorted((event["properties"]["endpoint"], int(event["quantity"])) for event in site.events())
    assert found == sorted([("/upload/", size), ("/upload/", 2_000 + len("text=")), ("/body/", 3_000), ("/slowly/", 0)])


def test_seconds_are_counted(site: Site) -> None:
    with site.serve(SITE_QUANTITY="seconds") as base:
        assert httpx.get(base + "/slowly/", headers=HEADERS).status_code == 200
        site.wait_for(1)
    (event,) = site.events()
    assert 0 < Decimal(event["quantity"]) < 60


@pytest.mark.parametrize("site", ["asgi"], indirect=True)
def test_a_client_that_goes_away_pays_what_was_sent_before(site: Site) -> None:
    with site.serve(SITE_QUANTITY="bytes_out") as base:
        address = urlsplit(base)
        with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
            connection.sendall(b"GET /endless/ HTTP/1.1\r\nHost: x\r\nX-Tenant: acme\r\n\r\n")
            received = 0
            while received < 20_000:
                received += len(connection.recv(4_000))
        site.wait_for(1)
    (event,) = site.events()
    assert int(event["quantity"]) % 1_000 == 0
    assert int(event["quantity"]) > 10_000  # its head and the marks of its chunks were received too


@pytest.fixture
def configured() -> None:
    if not settings.configured:
        settings.configure()


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (None, "must be a dict that says at least where the tenant is found"),
        ({"metric": "calls"}, "must be a dict that says at least where the tenant is found"),
        ({"tenant": header("x"), "metrics": "calls"}, "knows no metrics; it knows endpoint, exclude"),
        ({"tenant": "nowhere.at_all"}, "tenant: 'nowhere.at_all' cannot be imported"),
        ({"tenant": "acme"}, "tenant: 'acme' cannot be imported"),
        ({"tenant": header("x"), "quantity": "bytes"}, "quantity: 'bytes' cannot be imported"),
        ({"tenant": header("x"), "include": "/api/*"}, "include must be a list or tuple"),
        ({"tenant": header("x"), "quantity": 0.5}, "the float 0.5"),
        ({"tenant": header("x"), "producer": 7}, "producer must be a UsageProducer, not int"),
    ],
)
def test_wrong_settings_are_refused_with_a_sentence(options: Any, sentence: str) -> None:
    with override_settings(METERLINE=options), pytest.raises(ImproperlyConfigured, match=sentence):
        UsageMiddleware(lambda request: request)
