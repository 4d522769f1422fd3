"""Connections of webhooks go where they were looked at, and nowhere else."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import httpcore
import pytest

from meterline_sinks.notifier import network
from meterline_sinks.notifier.network import GuardedBackend, RefusedAddressError, resolve
from tests.notifier.receiver import Receiver


def names(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """The resolver gives these addresses, one list after the other; what it was asked for is noted."""
    asked: list[str] = []
    left = list(answers)

    def getaddrinfo(host: str, port: int, **_more: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in left.pop(0)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


async def connect(backend: GuardedBackend, host: str, port: int) -> None:
    stream = await backend.connect_tcp(host, port, 5)
    await stream.aclose()


def test_one_private_address_among_public_ones_is_enough_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    names(monkeypatch, ["93.184.215.14", "10.0.0.1"])
    with pytest.raises(RefusedAddressError, match=r"mixed.example is 10\.0\.0\.1, which is no public address"):
        asyncio.run(connect(GuardedBackend(allow_private=False), "mixed.example", 80))


def test_a_name_that_changes_its_address_is_asked_for_once(monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> None:
    monkeypatch.setattr(network, "is_public", lambda address: address == "127.0.0.1")  # stands for a public one
    asked = names(monkeypatch, ["127.0.0.1"], ["169.254.169.254"])
    asyncio.run(connect(GuardedBackend(allow_private=False), "rebind.example", receiver.port))
    assert asked == ["rebind.example"]


def test_the_next_address_is_tried_where_one_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    names(monkeypatch, ["127.0.0.2", "127.0.0.1"])
    asyncio.run(connect(GuardedBackend(allow_private=True), "two.example", receiver.port))


def test_a_name_that_nobody_has_is_an_error_of_the_connection() -> None:
    with pytest.raises(httpcore.ConnectError, match="cannot be resolved"):
        asyncio.run(resolve("nobody.invalid", 80))
    with pytest.raises(httpcore.ConnectError, match="cannot be resolved"):
        asyncio.run(resolve("a" * 300, 80))


def test_there_is_no_way_to_a_socket_of_this_machine() -> None:
    with pytest.raises(RefusedAddressError):
        asyncio.run(GuardedBackend(allow_private=True).connect_unix_socket("/run/x.sock"))
