"""How calls of a decorated function become usage: what is taken from a call, and that nothing of it breaks the call."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any, Final, Literal, Protocol, cast
from uuid import UUID

from meterline.call import Call, Parameters
from meterline.encoding import name_text, quantity_text
from meterline.extractors import AFTER_ONLY, Extractor, constant
from meterline.mishaps import Mishaps
from meterline.tracker import Tracker, default_producer
from meterline_schemas.errors import ConfigurationError

When = Literal["success", "always"]
USAGE_ERRORS: Final = Mishaps("usage was not counted")
_NEEDED: Final = ("tenant", "quantity", "id")  # None there is a mistake; elsewhere it means: not given


class Gate(Protocol):
    """Who says whether a tenant may use more: a ``QuotaCheck``."""

    def require(self, tenant_id: str, metric: str, subject: str | None = None) -> None: ...

    async def arequire(self, tenant_id: str, metric: str, subject: str | None = None) -> None: ...

    def unknown(self, what: str, why: BaseException | str) -> None:
        """What could not even be asked: counted and let pass, or raised."""


class Counting:
    """What ``track_usage`` was told of one function.

    Raises:
        ConfigurationError: something that cannot work, said when the function is decorated.
        InvalidUsageError: a constant that can never count.
        TypeError: a value of the wrong type.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        metric: str,
        fields: Mapping[str, Any],
        *,
        when: When,
        check: Gate | None,
        producer: Tracker | Callable[[], Tracker] | None,
    ) -> None:
        self.name = getattr(function, "__qualname__", type(function).__qualname__)
        name_text("metric", metric)
        if check is not None and not hasattr(check, "require"):
            raise ConfigurationError(f"track_usage(check={check!r}) on {self.name}: pass a QuotaCheck")
        if producer is not None and not (callable(producer) or hasattr(producer, "track")):
            raise ConfigurationError(
                f"track_usage(producer={producer!r}) on {self.name}: pass a producer, or a function that returns one"
            )
        check_when(when)
        self._parameters = Parameters(function)
        self._metric = metric
        self._when = when
        self._gate = check
        self._producer = producer
        self._fields = {field: self._extractor(field, given) for field, given in fields.items() if given is not None}
        self.mishaps = Mishaps(f"usage of {self.name} was not counted", USAGE_ERRORS)

    def _extractor(self, field: str, given: Any) -> Extractor:
        if field == "properties" and isinstance(given, Mapping):
            parts = {name: value if callable(value) else constant(value) for name, value in given.items()}
            for part in parts.values():
                self._check(field, part)
            return lambda call: {name: part(call) for name, part in parts.items()}
        if field == "quantity" and isinstance(given, int | Decimal | float):
            quantity_text(cast(Any, given))  # a float is refused
            return constant(given)
        if not callable(given):
            hint = "write arg(…), result(…), constant(…) or a function"
            if isinstance(given, str):
                hint = f"write arg({given!r}) for an argument, constant({given!r}) for always this text"
            raise ConfigurationError(f"track_usage({field}={given!r}) on {self.name}: {hint}")
        self._check(field, given)
        return cast(Extractor, given)

    def _check(self, field: str, extractor: Any) -> None:
        if self._gate is not None and field in ("tenant", "subject") and isinstance(extractor, AFTER_ONLY):
            raise ConfigurationError(
                f"track_usage({field}={extractor}, check=…) on {self.name}: that is not known before the call"
            )
        check = getattr(extractor, "check", None)
        if check is not None:
            check(field, self.name, self._parameters)

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        """Before the call; asks whether more may be used.

        Raises:
            QuotaExceededError: no.
            QuotaUnavailableError: that is not known, and ``fail="closed"``.
        """
        call = Call(self._parameters, args, kwargs)
        if self._gate is not None:
            who = self._who(call, self._gate)
            if who is not None:
                self._gate.require(who[0], self._metric, who[1])
            call.started = time.monotonic_ns()
        return call

    async def abegin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        """``begin`` without blocking the loop."""
        call = Call(self._parameters, args, kwargs)
        if self._gate is not None:
            who = self._who(call, self._gate)
            if who is not None:
                await self._gate.arequire(who[0], self._metric, who[1])
            call.started = time.monotonic_ns()
        return call

    def _who(self, call: Call, gate: Gate) -> tuple[str, str | None] | None:
        try:
            subject = self._value("subject", call) if "subject" in self._fields else None
            return self._value("tenant", call), subject
        except Exception as error:
            problem = error
        gate.unknown(self.name, problem)
        return None

    def returned(self, call: Call, result: Any) -> None:
        """The call succeeded."""
        call.returned = True
        call.result = result
        self._track(call)

    def closed(self, call: Call) -> None:
        """The generator was closed before its end, which is no failure."""
        self._track(call)

    def raised(self, call: Call, error: BaseException) -> None:
        """The call failed."""
        if self._when == "success":
            return
        call.error = error
        try:
            self._track(call)
        finally:
            call.error = None  # it leads back here by its traceback

    def _track(self, call: Call) -> None:
        call.ended = time.monotonic_ns()
        now = datetime.now(timezone.utc)
        try:
            values = {field: self._value(field, call) for field in self._fields}
            self._tracker().track(
                values["tenant"],
                self._metric,
                values["quantity"],
                subject=values.get("subject"),
                properties=values.get("properties"),
                timestamp=values.get("timestamp") or now,
                id=values.get("id"),
            )
        except Exception as error:
            self.mishaps.add(self._metric, error)

    def _value(self, field: str, call: Call) -> Any:
        extractor = self._fields[field]
        try:
            value = extractor(call)
        except Exception as error:
            raise _Failed(f"{field}: {extractor}: {type(error).__name__}: {error}") from error
        if value is None and field in _NEEDED:
            raise _Failed(f"{field}: {extractor} gave None")
        if field in ("tenant", "subject", "id") and (type(value) is int or isinstance(value, UUID)):
            return str(value)
        return value

    def _tracker(self) -> Tracker:
        if self._producer is None:
            return default_producer()
        return self._producer() if callable(self._producer) else self._producer


class _Failed(Exception):
    """An extractor gave nothing that can be counted."""


def check_when(when: str) -> None:
    """
    Raises:
        ConfigurationError: neither of the two.
    """
    if when not in ("success", "always"):
        raise ConfigurationError(f"when={when!r}: write 'success' or 'always'")
