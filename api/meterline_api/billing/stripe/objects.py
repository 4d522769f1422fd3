"""Stripe's objects as the set-up sees them: asked for again where Stripe has no time, and counted."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from meterline_api.billing.stripe.settings import StripeSettings
from meterline_api.billing.stripe.setup import Found, Objects
from meterline_schemas.errors import UnavailableError

_FIRST_WAIT: Final = 0.25
_NEW: Final = "new_"

Answered = TypeVar("Answered")


class Patient:
    """At most ``rate`` calls a second, each with as many ``attempts`` as the settings say; ``made`` counts by kind."""

    def __init__(self, objects: Objects, settings: StripeSettings) -> None:
        self.made: Counter[str] = Counter()
        self._objects = objects
        self._gap = 1 / settings.rate
        self._next = 0.0
        self._retrying = Retrying(
            retry=retry_if_exception_type(UnavailableError),
            stop=stop_after_attempt(settings.attempts),
            wait=wait_random_exponential(multiplier=_FIRST_WAIT, max=settings.longest_wait),
            reraise=True,
        )

    def all(self, kind: str, params: Mapping[str, Any] | None = None) -> Iterator[Found]:
        def begun() -> Iterator[Found]:
            found = iter(self._objects.all(kind, params))
            first = list(itertools.islice(found, 1))
            return itertools.chain(first, found)

        return self._asked(begun)

    def create(self, kind: str, params: Mapping[str, Any], key: str) -> Found:
        made = self._asked(lambda: self._objects.create(kind, params, key))
        self.made[kind] += 1
        return made

    def _asked(self, call: Callable[[], Answered]) -> Answered:
        def once() -> Answered:
            now = time.monotonic()
            time.sleep(max(0.0, self._next - now))
            self._next = max(now, self._next) + self._gap
            return call()

        return self._retrying(once)


class Dry(Patient):
    """Makes nothing: in the place of what would be made is an id that Stripe has not."""

    def all(self, kind: str, params: Mapping[str, Any] | None = None) -> Iterator[Found]:
        if any(str(value).startswith(_NEW) for value in (params or {}).values()):
            return iter(())
        return super().all(kind, params)

    def create(self, kind: str, params: Mapping[str, Any], key: str) -> Found:
        self.made[kind] += 1
        return {**params, "id": f"{_NEW}{kind.split('.')[-1].removesuffix('s')}"}
