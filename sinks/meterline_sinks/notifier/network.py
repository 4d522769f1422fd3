"""Connections of webhooks: where they lead is checked on the very address that is connected to.

A name is resolved once, here; what a second look-up would say (DNS rebinding) is never asked.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from contextlib import suppress
from threading import Thread

from httpcore import SOCKET_OPTION as SocketOption
from httpcore import AnyIOBackend, AsyncNetworkBackend, AsyncNetworkStream, ConnectError

from meterline_sinks.notifier.addresses import is_public


class RefusedAddressError(Exception):
    """A webhook leads to where it may not."""

    def __init__(self, host: str, address: str) -> None:
        what = host if host == address else f"{host} is {address}, which"
        super().__init__(
            f"refused: {what} is no public address. Let the webhook lead to one that everybody can reach, or, if "
            "receivers inside this network are wanted, set METERLINE_NOTIFY_ALLOW_PRIVATE=true"
        )


class GuardedBackend(AsyncNetworkBackend):
    """Connects to public addresses only, unless ``allow_private``."""

    def __init__(self, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._inner = AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[SocketOption] | None = None,
    ) -> AsyncNetworkStream:
        """Raises RefusedAddressError where any address of the host is not public, ConnectError where none answers."""
        addresses = await resolve(host, port)
        if not self._allow_private:
            for address in addresses:
                if not is_public(address):
                    raise RefusedAddressError(host, address)
        failure: Exception = ConnectError(f"{host} has no address")
        for address in addresses:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except ConnectError as error:
                failure = error
        raise failure

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[SocketOption] | None = None
    ) -> AsyncNetworkStream:
        raise RefusedAddressError(path, path)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def resolve(host: str, port: int) -> list[str]:
    """Every address of a host, in the order to try them.

    Each look-up has a thread of its own that nobody waits for at the end: a name server that hangs holds up only the
    receiver that it is asked for.

    Raises:
        ConnectError: it has none.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[str] | OSError] = loop.create_future()

    def set_answer(found: list[str] | OSError) -> None:
        if not answer.done():
            answer.set_result(found)

    def look_up() -> None:
        found: list[str] | OSError
        try:
            infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found = list(dict.fromkeys(str(info[4][0]) for info in infos))
        except OSError as error:
            found = error
        except UnicodeError:
            found = OSError("it is no name of a host")
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(set_answer, found)

    Thread(target=look_up, name="resolve", daemon=True).start()
    found = await answer
    if isinstance(found, OSError):
        raise ConnectError(f"{host} cannot be resolved: {found.strerror or found}")
    return found
