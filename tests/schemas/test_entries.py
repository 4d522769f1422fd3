"""What the catalog takes can be used: addresses can be called, secrets sign, time zones are the same everywhere."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from meterline_schemas.catalog import Book, RefusedError, Tenant, Webhook, read_entry

SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()


def define(**fields: Any) -> Webhook:
    return read_entry(Webhook, {"id": "crm", "url": "https://example.com/", "secret": SECRET, **fields})


def why(**fields: Any) -> str:
    with pytest.raises(RefusedError) as refused:
        define(**fields)
    (problem,) = refused.value.problems
    assert problem.field in fields
    return problem.detail


@pytest.mark.parametrize("url", ["https://é.com/", "https://example.com/ä", "https://example.com/?q=ü"])
def test_an_address_outside_of_ascii_is_refused_with_how_to_write_it(url: str) -> None:
    assert "write the host as punycode and the path percent-encoded" in why(url=url)


@pytest.mark.parametrize("port", ["99999", "abc", "-1", "0"])
def test_a_port_that_is_none_is_refused(port: str) -> None:
    assert "is no address" in why(url=f"https://example.com:{port}/hooks")


def test_brackets_that_hold_no_address_are_refused() -> None:
    assert "is no address" in why(url="https://[::1/hooks")


@pytest.mark.parametrize("url", ["http://[::1]:8080/x", "https://xn--9ca.com/%C3%A4", "https://example.com:65535"])
def test_an_address_that_can_be_called_is_taken(url: str) -> None:
    assert define(url=url).url == url


@pytest.mark.parametrize("size", [24, 32, 64])
def test_a_secret_of_24_to_64_bytes_is_taken(size: int) -> None:
    secret = "whsec_" + base64.b64encode(bytes(range(size))).decode()
    assert define(secret=secret).secret == secret


@pytest.mark.parametrize("secret", ["whsec_" + "A" * 33, "whsec_" + "A" * 43, "whsec_" + "A" * 88])
def test_a_secret_that_cannot_sign_is_refused_and_not_repeated(secret: str) -> None:
    told = why(secret=secret)
    assert "base64 of 24 to 64 bytes" in told
    assert secret not in told


def test_what_is_wrong_with_a_record_is_told_without_its_secret() -> None:
    secret = "whsec_" + "A" * 33
    value = define().encode().replace(SECRET.encode(), secret.encode())
    told = Book().apply(b"webhook/crm", value)
    assert told is not None
    assert "secret" in told
    assert secret not in told


@pytest.mark.parametrize("zone", ["localtime", "posixrules", "Factory", "right/UTC", "posix/UTC", "Vienna", "", "../x"])
def test_a_zone_that_is_not_the_same_everywhere_is_refused(zone: str) -> None:
    with pytest.raises(RefusedError, match="IANA name such as Europe/Vienna or UTC"):
        read_entry(Tenant, {"id": "acme", "time_zone": zone})


@pytest.mark.parametrize("zone", ["UTC", "Europe/Vienna", "Asia/Kolkata", "Etc/GMT+5"])
def test_a_zone_of_the_database_is_taken(zone: str) -> None:
    assert read_entry(Tenant, {"id": "acme", "time_zone": zone}).time_zone == zone
