"""``QuotaCheck``: asks the API whether a tenant may use more; remembers it for some seconds, never waits for long."""

from __future__ import annotations

import os
import threading
import time
import weakref
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from meterline.mishaps import Mishaps
from meterline.quota import QuotaExceededError, QuotaStatus, QuotaUnavailableError
from meterline.quota_http import Address, address_of, ask
from meterline_schemas.errors import ConfigurationError, UnavailableError

if TYPE_CHECKING:
    import asyncio
    import ssl

_MAX_ANSWERS: Final = 10_000
_THREADS: Final = 8

Key = tuple[str, str, str]  # tenant, metric, subject


class _Unknown(NamedTuple):
    """No answer. ``general``: it is no use to ask for others either."""

    why: str
    general: bool = True


class QuotaCheck:
    """One per app is right: any thread and any coroutine may use it, before and after a fork.

    An answer holds for ``cache_seconds``. Who needs one waits at most ``timeout`` seconds, and an API that does not
    answer is left alone for ``cache_seconds``. Without an answer more may be used (``fail="open"``; counted in
    ``unanswered`` and logged), or ``QuotaUnavailableError`` is raised (``fail="closed"``).

    ``url`` and ``api_key`` default to ``METERLINE_API_URL`` and ``METERLINE_API_KEY``; ``ssl_context`` to Python's own
    with the system's certificates. Proxies and redirects are not followed.

    Raises:
        ConfigurationError: a setting is missing or wrong.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        timeout: float = 1.0,
        cache_seconds: float = 5.0,
        fail: Literal["open", "closed"] = "open",
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        if not timeout > 0 or not cache_seconds >= 0:
            raise ConfigurationError("QuotaCheck: timeout must be above 0, and cache_seconds 0 or more")
        if fail not in ("open", "closed"):
            raise ConfigurationError(f"QuotaCheck(fail={fail!r}): write 'open' or 'closed'")
        self._address: Address = address_of(
            url or os.environ.get("METERLINE_API_URL"), api_key or os.environ.get("METERLINE_API_KEY"), ssl_context
        )
        self._timeout = timeout
        self._cache_seconds = cache_seconds
        self._fail = fail
        self._mishaps = Mishaps("usage went on without a quota check" if fail == "open" else "no quota check")
        self._answers: dict[Key, tuple[float, QuotaStatus | _Unknown]] = {}
        self._silent: tuple[float, _Unknown] = (0.0, _Unknown(""))
        self._set_up()
        _open.add(self)

    def _set_up(self) -> None:
        self._lock = threading.Lock()
        self._asking: dict[Key, Future[QuotaStatus | _Unknown]] = {}
        self._pool: ThreadPoolExecutor | None = None

    @property
    def unanswered(self) -> int:
        """Questions of this process that got no answer."""
        return self._mishaps.count

    def status(self, tenant_id: str, metric: str, subject: str | None = None) -> QuotaStatus | None:
        """What the API says, at most ``cache_seconds`` old; None where it does not say.

        Raises:
            QuotaUnavailableError: it does not, and ``fail="closed"``.
        """
        return self._told((tenant_id, metric, subject or ""), self._find((tenant_id, metric, subject or "")))

    async def astatus(self, tenant_id: str, metric: str, subject: str | None = None) -> QuotaStatus | None:
        """``status`` without blocking the loop."""
        return self._told((tenant_id, metric, subject or ""), await self._afind((tenant_id, metric, subject or "")))

    def require(self, tenant_id: str, metric: str, subject: str | None = None) -> None:
        """Return if more may be used.

        Raises:
            QuotaExceededError: a threshold with action ``block`` is reached, of the subject or of the tenant.
            QuotaUnavailableError: that is not known, and ``fail="closed"``.
        """
        _judge(self.status(tenant_id, metric, subject))

    async def arequire(self, tenant_id: str, metric: str, subject: str | None = None) -> None:
        """``require`` without blocking the loop."""
        _judge(await self.astatus(tenant_id, metric, subject))

    def unknown(self, what: object, why: BaseException | str) -> None:
        """Count a question that has no answer.

        Raises:
            QuotaUnavailableError: with ``fail="closed"``.
        """
        self._mishaps.add(what, why)
        if self._fail == "closed":
            raise QuotaUnavailableError(f"whether more may be used is not known: {why}")

    def close(self) -> None:
        """End its threads, as the end of the process does."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)

    def _told(self, key: Key, found: QuotaStatus | _Unknown) -> QuotaStatus | None:
        if isinstance(found, QuotaStatus):
            return found
        self.unknown(key, found.why)
        return None

    def _find(self, key: Key) -> QuotaStatus | _Unknown:
        known = self._known(key)
        if known is not None:
            return known
        try:
            return self._future(key).result(self._timeout)
        except Late:
            return self._late()
        except (CancelledError, RuntimeError) as error:  # closed, or the interpreter is ending
            return _Unknown(f"it cannot be asked: {error or 'closed'}")

    async def _afind(self, key: Key) -> QuotaStatus | _Unknown:
        known = self._known(key)
        if known is not None:
            return known
        import asyncio  # an app without a loop does without it

        try:
            return await asyncio.wait_for(_awaitable(self._future(key)), self._timeout)
        except asyncio.TimeoutError:  # not the builtin one before Python 3.11
            return self._late()
        except RuntimeError as error:  # the loop is not asyncio's, or the interpreter is ending
            return _Unknown(f"it cannot be asked: {error}")

    def _known(self, key: Key) -> QuotaStatus | _Unknown | None:
        now = time.monotonic()
        until, answer = self._answers.get(key, (0.0, None))
        if answer is not None and now < until:
            return answer
        until, silence = self._silent
        return silence if now < until else None

    def _future(self, key: Key) -> Future[QuotaStatus | _Unknown]:
        """The one question about a key that is under way; those who come meanwhile wait for the same answer."""
        with self._lock:
            future = self._asking.get(key)
            if future is None:
                if self._pool is None:
                    self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="meterline-quota")
                future = self._asking[key] = self._pool.submit(self._ask, key)
                future.add_done_callback(lambda _: self._asking.pop(key, None))
            return future

    def _ask(self, key: Key) -> QuotaStatus | _Unknown:
        answer: QuotaStatus | _Unknown
        try:
            found = ask(self._address, key, self._timeout)
            answer = found if isinstance(found, QuotaStatus) else _Unknown(found, general=False)
        except UnavailableError as error:
            answer = _Unknown(f"{self._address.shown} answers {error}")
        except Exception as error:
            answer = _Unknown(f"{self._address.shown} does not answer: {error or type(error).__name__}")
        until = time.monotonic() + self._cache_seconds
        if isinstance(answer, _Unknown) and answer.general:
            self._silent = until, answer
            return answer
        with self._lock:
            self._answers.pop(key, None)
            self._answers[key] = until, answer
            while len(self._answers) > _MAX_ANSWERS:
                del self._answers[next(iter(self._answers))]
        return answer

    def _late(self) -> _Unknown:
        unknown = _Unknown(f"{self._address.shown} did not answer within {self._timeout:g} s")
        self._silent = time.monotonic() + self._cache_seconds, unknown
        return unknown


_open: weakref.WeakSet[QuotaCheck] = weakref.WeakSet()


def _awaitable(future: Future[QuotaStatus | _Unknown]) -> asyncio.Future[QuotaStatus | _Unknown]:
    """Its answer for one coroutine, which may give up without taking it from others (``asyncio.wrap_future`` would)."""
    import asyncio

    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[QuotaStatus | _Unknown] = loop.create_future()

    def tell(answer: QuotaStatus | _Unknown) -> None:
        if not waiter.done():
            waiter.set_result(answer)

    def answered(future: Future[QuotaStatus | _Unknown]) -> None:
        answer = _Unknown("it cannot be asked: closed") if future.cancelled() else future.result()
        with suppress(RuntimeError):  # the loop has been closed meanwhile
            loop.call_soon_threadsafe(tell, answer)

    future.add_done_callback(answered)
    return waiter


def _judge(status: QuotaStatus | None) -> None:
    if status is not None and status.blocked:
        raise QuotaExceededError.of(status)


def _after_fork() -> None:
    for check in list(_open):
        check._set_up()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
