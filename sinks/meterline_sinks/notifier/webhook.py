"""One attempt at a webhook. The edge to HTTP.

Without an HTTP proxy and without following redirects: either would lead past the check of the address. Each attempt
has a connection of its own, so that a receiver that is gone is noticed, and its address is looked at anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing, suppress
from datetime import datetime
from typing import Final, cast

import httpcore

from meterline_schemas.catalog import Webhook
from meterline_schemas.delivery import MAX_ANSWER, Delivery
from meterline_sinks.notifier.network import GuardedBackend, RefusedAddressError
from meterline_sinks.notifier.outcome import Outcome
from meterline_sinks.notifier.signature import signed_headers

_GONE: Final = 410
_BODY_SECONDS: Final = 2.0


class Webhooks:
    """Posts notifications. ``timeout`` seconds are from the look-up of the name to the answer's status."""

    def __init__(self, allow_private: bool, timeout: float) -> None:
        self._timeout = timeout
        self._pool = httpcore.AsyncConnectionPool(
            network_backend=GuardedBackend(allow_private), max_connections=None, max_keepalive_connections=0
        )

    async def attempt(self, delivery: Delivery, webhook: Webhook, at: datetime) -> Outcome:
        """Post the notification, signed at ``at``. Whatever goes wrong is an outcome."""
        body = bytes(delivery.notification)
        try:
            headers = {
                "content-type": "application/json",
                "accept-encoding": "identity",
                "user-agent": "Meterline",
                **signed_headers(webhook.secret, delivery.notification_id, at, body),
            }
            return await self._post(webhook.url, headers, body)
        except TimeoutError:
            return Outcome(error=f"no answer within {self._timeout:g} s")
        except RefusedAddressError as error:
            return Outcome(error=str(error))
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError) as error:
            return Outcome(error=f"cannot reach it: {error or type(error).__name__}")
        except ValueError as error:  # the URL or the secret, which the catalog has let through
            return Outcome(error=f"the webhook cannot be used: {error}; correct its URL or secret", final=True)

    async def _post(self, url: str, headers: dict[str, str], body: bytes) -> Outcome:
        async with AsyncExitStack() as stack:
            async with asyncio.timeout(self._timeout):
                response = await stack.enter_async_context(
                    self._pool.stream("POST", url, headers=list(headers.items()), content=body)
                )
            answer = await _beginning(response)
        text = answer[:MAX_ANSWER].decode(errors="replace")
        status = response.status
        if 200 <= status < 300:
            return Outcome(status, answer=text)
        if status == _GONE:
            return Outcome(status, "answered 410 Gone: it wants no more of these", text, final=True)
        if 300 <= status < 400:
            return Outcome(status, f"answered {status}; redirects are not followed: set the final URL", text)
        return Outcome(status, f"answered {status}", text)

    async def close(self) -> None:
        await self._pool.aclose()


async def _beginning(response: httpcore.Response) -> bytes:
    """The first bytes of the answer's body. It is for people: whatever is wrong with it changes no outcome."""
    found = b""
    chunks = cast(AsyncGenerator[bytes, None], response.aiter_stream())
    with suppress(TimeoutError, httpcore.NetworkError, httpcore.ProtocolError):
        async with asyncio.timeout(_BODY_SECONDS), aclosing(chunks):
            async for chunk in chunks:
                found += chunk
                if len(found) >= MAX_ANSWER:
                    break
    return found
