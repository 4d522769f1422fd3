"""Buckets and prefixes of tenants, measured on a real server that speaks S3."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from meterline_api.storage.findings import Finding, Passed, Stored, Unmeasured
from meterline_api.storage.running import provider_of
from meterline_api.storage.settings import StorageSettings
from meterline_schemas.errors import ConfigurationError, UnavailableError
from tests.services.s3 import KEY, SECRET, S3Proxy


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Proxy]:
    started = S3Proxy(tmp_path_factory.mktemp("s3"))
    yield started
    started.stop()


@pytest.fixture(scope="module")
def client(server: S3Proxy) -> Iterator[Any]:
    made = server.client()
    yield made
    made.close()


def put(client: Any, bucket: str, **sizes: int) -> None:
    client.create_bucket(Bucket=bucket)
    for key, size in sizes.items():
        client.put_object(Bucket=bucket, Key=key, Body=b"x" * size)


def settings(server: S3Proxy, url: str, **more: Any) -> StorageSettings:
    given = {"endpoint": server.url, "region": "us-east-1", "access_key": KEY, "secret_key": SecretStr(SECRET)}
    return StorageSettings(url=url, **{**given, **more})


def measured(server: S3Proxy, url: str, only: list[str] | None = None, **more: Any) -> list[Finding]:
    provider = provider_of(settings(server, url, **more))
    assert provider is not None
    return list(provider.measure(only))


def test_whatever_stands_between_the_prefix_and_the_next_slash_is_a_tenant(server: S3Proxy, client: Any) -> None:
    objects = {"t/acme/a": 10, "t/acme/b/c": 200, "t/acme b/ü": 3, "t/empty/x": 0, "t/loose": 999, "other/y": 999}
    put(client, "prefixes", **objects)
    wanted = [Stored("acme", 210), Stored("acme b", 3), Stored("empty", 0)]
    assert measured(server, "s3://prefixes/t/") == wanted
    assert measured(server, "s3://prefixes/t") == wanted
    assert measured(server, "s3://prefixes/t/", only=["empty"])[:2] == [Passed("acme"), Passed("acme b")]
    assert measured(server, "s3://prefixes/") == [Stored("other", 999), Stored("t", 1212)]
    assert measured(server, "s3://prefixes/nothing/") == []


def test_a_listing_of_several_pages_is_read_to_its_end(server: S3Proxy, client: Any) -> None:
    sizes = [number % 40 for number in range(1_003)]  # a page has a thousand
    put(client, "pages", **{f"large/{number:04}": size for number, size in enumerate(sizes)})
    assert client.list_objects_v2(Bucket="pages")["IsTruncated"]
    assert measured(server, "s3://pages/") == [Stored("large", sum(sizes))]


def test_a_bucket_for_each_tenant_is_found_by_its_name(server: S3Proxy, client: Any) -> None:
    for name, sizes in {
        "files-acme-prod": {"x": 5, "up/y": 70},
        "files-globex-prod": {"up/z": 3},
        "files--prod": {"x": 9},
        "files-acme-test": {"x": 9},
    }.items():
        put(client, name, **sizes)
    assert measured(server, "s3://files-{tenant}-prod/") == [Stored("acme", 75), Stored("globex", 3)]
    assert measured(server, "s3://files-{tenant}-prod/up/") == [Stored("acme", 70), Stored("globex", 3)]


def test_a_tenant_that_cannot_be_listed_does_not_stop_the_others(
    server: S3Proxy, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("doc-a", "doc-b", "doc-c"):
        put(client, name, x=5)
    provider: Any = provider_of(settings(server, "s3://doc-{tenant}/"))
    tenants = list(provider._tenants())
    client.delete_object(Bucket="doc-b", Key="x")
    client.delete_bucket(Bucket="doc-b")  # between the list of buckets and that of its objects
    monkeypatch.setattr(provider, "_tenants", lambda: iter(tenants))
    first, gone, last = provider.measure()
    assert (first, last) == (Stored("a", 5), Stored("c", 5))
    assert isinstance(gone, Unmeasured)
    assert "NoSuchBucket" in gone.why


def test_credentials_may_come_as_for_every_program_that_uses_s3(
    server: S3Proxy, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(client, "standard", **{"acme/x": 4})
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    bare: dict[str, Any] = {"region": "", "access_key": "", "secret_key": None}
    assert measured(server, "s3://standard/", **bare) == [Stored("acme", 4)]


@pytest.mark.parametrize(
    ("url", "more", "said"),
    [
        ("s3://missing/", {}, "NoSuchBucket"),
        ("s3://prefixes/", {"secret_key": SecretStr("wrong")}, "SignatureDoesNotMatch"),
        ("s3://prefixes/", {"endpoint": "http://127.0.0.1:1"}, "Could not connect"),
    ],
)
def test_a_storage_that_does_not_answer_is_no_empty_one(
    server: S3Proxy, url: str, more: dict[str, Any], said: str
) -> None:
    with pytest.raises(UnavailableError, match=said) as raised:
        measured(server, url, **more)
    assert "wrong" not in str(raised.value)


def test_without_boto3_the_sentence_says_what_to_install(server: S3Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'meterline\[s3\]'"):
        provider_of(settings(server, "s3://x/"))


def test_an_endpoint_that_is_none_is_refused_when_the_server_starts(server: S3Proxy) -> None:
    with pytest.raises(ConfigurationError, match="METERLINE_STORAGE_"):
        provider_of(settings(server, "s3://prefixes/", endpoint="http://bad host:x"))
