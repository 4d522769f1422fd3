"""Webhooks on their way: signed as Stripe signs, sent again until answered 2xx."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import http.client
import time
from urllib.parse import urlsplit

from meterline_deploy.stripe_stand_in.account import Account
from meterline_deploy.stripe_stand_in.store import Document


def signature(body: str, secret: str, at: int) -> str:
    """The header Stripe-Signature."""
    signed = hmac.new(secret.encode(), f"{at}.{body}".encode(), hashlib.sha256).hexdigest()
    return f"t={at},v1={signed}"


def post(url: str, body: str, secret: str, timeout: float) -> int:
    """The status; no redirect is followed. Raises OSError or HTTPException."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=timeout)
    try:
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": signature(body, secret, int(time.time())),
            "User-Agent": "Stripe/1.0 (Stripe stand-in)",
        }
        path = parts.path or "/"
        connection.request("POST", f"{path}?{parts.query}" if parts.query else path, body.encode(), headers)
        return connection.getresponse().status
    finally:
        connection.close()


class Courier:
    """Carries what is due, each delivery by itself: in no order, as Stripe's."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._going: dict[str, asyncio.Task[None]] = {}

    def send_due(self) -> None:
        now = time.time()
        for delivery in self._account.store.find("delivery", "state", "pending"):
            if delivery["due"] <= now and delivery["id"] not in self._going:
                self._going[delivery["id"]] = asyncio.create_task(self._send(delivery))

    async def _send(self, delivery: Document) -> None:
        try:
            await self._try(delivery)
        finally:
            del self._going[delivery["id"]]

    async def _try(self, delivery: Document) -> None:
        account = self._account
        destination = account.store.get(*delivery["destination"].split("/"))
        answer: int | str = "the destination is gone"
        if destination is not None:
            try:
                answer = await asyncio.to_thread(
                    post,
                    destination["url"],
                    delivery["body"],
                    destination["_secret"],
                    account.settings.delivery_timeout,
                )
            except (OSError, http.client.HTTPException) as error:
                answer = str(error) or type(error).__name__
        attempts = delivery["attempts"] + 1
        done = isinstance(answer, int) and 200 <= answer < 300
        over = destination is None or attempts >= account.settings.delivery_attempts
        with account.acting():
            account.change(
                "delivery", delivery, attempts=attempts, answer=answer,
                state="delivered" if done else "given up" if over else "pending",
                due=time.time() + account.settings.delivery_wait * 2 ** (attempts - 1),
            )  # fmt: skip

    async def stop(self) -> None:
        for task in list(self._going.values()):
            task.cancel()
        await asyncio.gather(*self._going.values(), return_exceptions=True)
