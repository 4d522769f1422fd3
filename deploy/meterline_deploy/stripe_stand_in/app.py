"""The application: each request is let in, struck by a fault or applied, written down, and only then answered."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from meterline_deploy.stripe_stand_in import cycles, errors, meter_errors
from meterline_deploy.stripe_stand_in.account import API_VERSION, Account, public
from meterline_deploy.stripe_stand_in.control import Control
from meterline_deploy.stripe_stand_in.courier import Courier
from meterline_deploy.stripe_stand_in.errors import StripeError
from meterline_deploy.stripe_stand_in.faults import EDGE, Fault
from meterline_deploy.stripe_stand_in.form import decode
from meterline_deploy.stripe_stand_in.params import Params
from meterline_deploy.stripe_stand_in.routes import Route, match

log = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

TICK: Final = 0.05
CYCLE: Final = 0.5
"""Seconds between two looks at what is due, webhooks and all else."""
REMEMBERED: Final = 24 * 3_600
"""Seconds for which an idempotency key is."""


class Vanish(Exception):
    """Nothing is answered: the connection ends, or is silent for ``seconds``."""

    def __init__(self, seconds: float | None = None) -> None:
        self.seconds = seconds


@dataclass
class Request:
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    id: str = ""

    @property
    def key(self) -> str | None:
        """The idempotency key; reading needs none."""
        return self.headers.get("idempotency-key") if self.method != "GET" else None

    @property
    def fingerprint(self) -> str:
        told = "\0".join((self.method, self.path, self.query)).encode() + b"\0" + self.body
        return hashlib.sha256(told).hexdigest()

    def params(self) -> dict[str, Any]:
        """The form, or for /v2 the JSON document; raises StripeError for neither."""
        if self.method == "POST" and self.path.startswith("/v2/"):
            try:
                document = json.loads(self.body or b"{}")
            except ValueError:
                document = None
            if not isinstance(document, dict):
                raise errors.invalid("Invalid request: the body is not a JSON object.")
            return document
        try:
            text = self.body.decode() if self.method == "POST" else self.query
        except UnicodeDecodeError:
            raise errors.invalid("Invalid request: the body is not UTF-8.") from None
        tree = decode(text)
        if self.method != "POST" and self.body:
            tree |= decode(self.body.decode(errors="replace"))
        return tree


@dataclass
class Answer:
    status: int
    document: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)


class Application:
    def __init__(self, account: Account) -> None:
        self.account = account
        self.control = Control(account)
        self._courier = Courier(account)
        self._held: set[str] = set()
        self._keys: set[str] = set()
        self._allowance, self._refilled = 0.0, time.monotonic()
        self._received = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        request = await read(scope, receive)
        if request.path.startswith("/_control"):
            await respond(send, self._controlled(request))
            return
        self._received += 1
        request.id = f"req_{self._received:014d}"
        seen = {
            "at": time.monotonic(), "method": request.method, "path": request.path, "idempotency_key": request.key,
            "status": None,
        }  # fmt: skip
        self.control.requests.append(seen)
        try:
            answer = await self._answer(request)
        except Vanish as vanish:
            await disappear(scope, receive, vanish.seconds)
            return
        seen["status"] = answer.status
        answer.headers |= {"request-id": request.id, "stripe-version": API_VERSION}
        if request.key:
            answer.headers["idempotency-key"] = request.key
        await respond(send, answer)

    async def _answer(self, request: Request) -> Answer:
        try:
            authenticate(request)
            found = match(request.method, request.path)
            if found is None:
                raise errors.unknown_address(request.method, request.path)
            self._limit()
            fault = self.control.faults.next(request.method, request.path)
            if fault and fault.kind in EDGE:
                self._refuse(request, fault)
            if fault and fault.kind == "late":
                await asyncio.sleep(fault.seconds)
            answer = self._remembered(request) or await self._apply(request, *found, fault)
            if fault and answer.status < 400:
                self._spoil(request, fault)
        except StripeError as error:
            return failure(error, request.id)
        except Vanish:
            raise
        except Exception:
            log.exception("%s %s could not be answered", request.method, request.path)
            return failure(errors.failed(), request.id)
        return answer

    def _refuse(self, request: Request, fault: Fault) -> None:
        match fault.kind:
            case "before":
                error = errors.failed(saved=fault.saved)
                if fault.saved and not self._remembered(request):
                    with self.account.acting():
                        self._remember(request, failure(error, request.id))
                raise error
            case "timeout_before":
                raise Vanish(fault.seconds)
            case "drop_before":
                raise Vanish
            case "lock":
                raise errors.locked()
        raise errors.rate_limited()

    def _spoil(self, request: Request, fault: Fault) -> None:
        """What becomes of the answer to a request that was applied."""
        match fault.kind:
            case "after":
                raise errors.failed(saved=fault.saved)
            case "timeout_after":
                raise Vanish(fault.seconds)
            case "drop":
                raise Vanish
            case "duplicate" if request.path == "/v1/billing/meter_events":
                raise errors.already_sent(str(request.params().get("identifier", "")))

    def _limit(self) -> None:
        """A bucket that holds what may come in a second."""
        rate = self.account.settings.requests_per_second
        if rate is None:
            return
        now = time.monotonic()
        self._allowance = min(max(rate, 1), self._allowance + (now - self._refilled) * rate)
        self._refilled = now
        if self._allowance < 1:
            raise errors.rate_limited()
        self._allowance -= 1

    async def _apply(self, request: Request, route: Route, ids: tuple[str, ...], fault: Fault | None) -> Answer:
        account, key = self.account, request.key
        if key in self._keys:
            raise errors.key_in_use(key or "")
        params = request.params()
        held = route.held(account, Params(params)) if route.held else None
        if held in self._held:
            raise errors.locked()
        self._held |= {held} - {None}  # type: ignore[arg-type]
        self._keys |= {key} - {None}  # type: ignore[arg-type]
        try:
            if held:
                await asyncio.sleep(account.settings.event_seconds)
            return self._applied(request, route, ids, params, fault)
        finally:
            self._held.discard(held or "")
            self._keys.discard(key or "")

    def _applied(
        self, request: Request, route: Route, ids: tuple[str, ...], params: dict[str, Any], fault: Fault | None
    ) -> Answer:
        refusal: StripeError | None = None
        with self.account.acting(request.id, request.key):
            try:
                answer = Answer(200, public(route.handler(self.account, Params(params), *ids)))
            except StripeError as error:
                if not error.keep:
                    raise
                refusal = error
                answer = failure(error, request.id)
            if fault and fault.kind == "after" and fault.saved:
                self._remember(request, failure(errors.failed(saved=True), request.id))
            else:
                self._remember(request, answer)
        if refusal:
            raise refusal
        return answer

    def _remembered(self, request: Request) -> Answer | None:
        """The answer that was given under this idempotency key. Raises StripeError: to another request."""
        known = self.account.store.get("idempotency_key", request.key) if request.key else None
        if known is None or self.account.instant - known["at"] > REMEMBERED:
            return None
        if known["fingerprint"] != request.fingerprint:
            raise errors.key_reused(request.key or "")
        headers = {"idempotent-replayed": "true", "original-request": known["request"], **known["headers"]}
        return Answer(known["status"], known["document"], headers)

    def _remember(self, request: Request, answer: Answer) -> None:
        if request.key:
            self.account.store.put("idempotency_key", request.key, {
                "at": self.account.instant, "fingerprint": request.fingerprint, "status": answer.status,
                "document": answer.document, "headers": answer.headers, "request": request.id,
            })  # fmt: skip

    def _controlled(self, request: Request) -> Answer:
        try:
            document = self.control.answer(request.method, request.path, request.body)
        except ValueError as error:
            return Answer(400, {"error": {"message": str(error), "type": "invalid_request_error"}})
        if document is None:
            return failure(errors.unknown_address(request.method, request.path), "")
        return Answer(200, document)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        ticking = asyncio.create_task(self._tick())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        ticking.cancel()
        with suppress(asyncio.CancelledError):
            await ticking
        await self._courier.stop()
        self.account.store.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _tick(self) -> None:
        """What no request asks for: time passes, errors are reported, webhooks are sent."""
        ran = float("-inf")
        while True:
            try:
                with self.account.acting():
                    if time.monotonic() - ran > CYCLE:
                        cycles.run(self.account)
                        ran = time.monotonic()
                    meter_errors.report(self.account)
                self._courier.send_due()
            except Exception:
                log.exception("what is due could not be done; it is tried again")
            await asyncio.sleep(TICK)


def authenticate(request: Request) -> None:
    """Raises StripeError: there is no key, one that is not sk_test_, or another account is meant."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        with suppress(ValueError):
            given = base64.b64decode(given).decode(errors="replace").partition(":")[0]
    if not given:
        raise errors.no_key()
    if not given.startswith("sk_test_"):
        raise errors.wrong_key(given)
    other = request.headers.get("stripe-account") or request.headers.get("stripe-context")
    if other:
        raise errors.other_account(other)


def failure(error: StripeError, request_id: str) -> Answer:
    retry = {} if error.retry is None else {"stripe-should-retry": "true" if error.retry else "false"}
    return Answer(error.status, error.body(request_id), retry)


async def read(scope: Message, receive: Receive) -> Request:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    return Request(scope["method"], scope["path"], scope["query_string"].decode("latin-1"), headers, body)


async def respond(send: Send, answer: Answer) -> None:
    body = json.dumps(answer.document).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body)), **answer.headers}
    pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})


async def disappear(scope: Message, receive: Receive, seconds: float | None) -> None:
    """End the connection, after ``seconds`` of silence unless the caller ends it first."""

    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    if seconds is not None:
        with suppress(TimeoutError):
            await asyncio.wait_for(gone(), seconds)
            return
    scope["extensions"]["transport"].abort()
    await gone()
