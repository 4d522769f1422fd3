"""How many requests a caller and a tenant may make, and what they are told of it (the ``RateLimit-*`` headers)."""

from __future__ import annotations

import logging
import math
import time
from http import HTTPStatus
from typing import Final, NamedTuple

from limits import RateLimitItem, RateLimitItemPerSecond, parse
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.storage import storage_from_string

from meterline_api.access.principal import Principal
from meterline_api.problems import Code, Problem
from meterline_schemas.errors import ConfigurationError

log = logging.getLogger(__name__)

_TELL_EVERY: Final = 60.0  # seconds
EXAMPLE: Final = "1000/second"


class Left(NamedTuple):
    """What is left of a limit, and in how many seconds all of it is there again."""

    limit: int
    remaining: int
    reset: int

    def headers(self) -> dict[str, str]:
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset),
        }


class Limiter:
    """Limits like ``1000/second`` of each key or token and of each tenant; an empty text is none.

    ``storage`` is ``memory://``, where each process counts for itself, or ``redis://…``, where all count together.

    Raises:
        ConfigurationError: a text that is no limit or no storage.
    """

    def __init__(self, of_caller: str, of_tenant: str, storage: str) -> None:
        self._of_caller = _read("METERLINE_API_CALLER_LIMIT", of_caller)
        self._of_tenant = _read("METERLINE_API_TENANT_LIMIT", of_tenant)
        try:
            found = storage_from_string(f"async+{storage}")
        except Exception as error:  # each kind of storage has errors of its own
            raise ConfigurationError(
                f"METERLINE_API_LIMIT_STORAGE: {error}; memory:// counts in each process"
            ) from None
        self._strategy = SlidingWindowCounterRateLimiter(found)
        self._told = -math.inf

    async def take(self, principal: Principal) -> Left | None:
        """One request more; what is left of the narrowest limit, None where none applies.

        Raises:
            Problem: 429.
        """
        own = principal.requests_per_second
        of_caller = self._of_caller if own is None else RateLimitItemPerSecond(own)
        tenant = principal.only_tenant
        narrowest: Left | None = None
        for item, name in (
            (of_caller if principal.limited else None, principal.actor),
            (self._of_tenant if tenant is not None else None, f"tenant:{tenant}"),
        ):
            if item is None:
                continue
            try:
                taken = await self._strategy.hit(item, name)
                stats = await self._strategy.get_window_stats(item, name)
            except Exception as error:  # each kind of storage has errors of its own
                self._tell(error)
                return None
            left = Left(item.amount, stats.remaining, max(0, math.ceil(stats.reset_time - time.time())))
            if not taken:
                raise Problem(
                    HTTPStatus.TOO_MANY_REQUESTS,
                    Code.RATE_LIMITED,
                    f"more than {item} of {name}; try again in {max(left.reset, 1)} s, or send events in batches",
                    headers={**left.headers(), "Retry-After": str(max(left.reset, 1))},
                )
            if narrowest is None or left.remaining < narrowest.remaining:
                narrowest = left
        return narrowest

    def _tell(self, error: Exception) -> None:
        """A storage that does not answer must not keep usage out: nothing is counted meanwhile, and that is said."""
        if time.monotonic() - self._told > _TELL_EVERY:
            self._told = time.monotonic()
            log.warning("requests are not limited, METERLINE_API_LIMIT_STORAGE does not answer: %s", error)


def _read(variable: str, text: str) -> RateLimitItem | None:
    if not text.strip():
        return None
    try:
        item = parse(text)
    except ValueError:
        item = None
    if item is None or item.amount < 1:
        raise ConfigurationError(f"{variable} is {text!r}; write it like {EXAMPLE} or 60000/minute")
    return item
