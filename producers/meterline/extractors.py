"""Where a decorator takes tenant, quantity and the rest of an event from.

Each of these is a callable that gets the ``Call``; so is any function of yours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from meterline.call import Call, Parameters
from meterline.encoding import name_text, quantity_text
from meterline.units import Unit, check_unit, in_unit
from meterline_schemas.errors import ConfigurationError

Extractor = Callable[[Call], Any]


@dataclass(frozen=True)
class _Arg:
    path: str

    def __call__(self, call: Call) -> Any:
        name, *rest = self.path.split(".")
        return _follow(call.arg(name), rest)

    def check(self, field: str, function: str, parameters: Parameters) -> None:
        """
        Raises:
            ConfigurationError: the function has no such parameter.
        """
        name = self.path.partition(".")[0]
        if not parameters.have(name):
            known = ", ".join(parameters.names) or "none"
            raise ConfigurationError(f"{self}: {function} has no parameter {name!r}; it has: {known}")

    def __str__(self) -> str:
        return f"arg({self.path!r})"


@dataclass(frozen=True)
class _Result:
    path: str

    def __call__(self, call: Call) -> Any:
        if not call.returned:
            raise LookupError("the call failed, there is no result")
        return _follow(call.result, self.path.split(".") if self.path else [])

    def __str__(self) -> str:
        return f"result({self.path!r})" if self.path else "result()"


@dataclass(frozen=True)
class _Constant:
    value: Any

    def __call__(self, call: Call) -> Any:
        return self.value

    def check(self, field: str, function: str, parameters: Parameters) -> None:
        """
        Raises:
            ConfigurationError: an id that every event would have.
            InvalidUsageError: a value that can never count.
            TypeError: a value of the wrong type.
        """
        if field == "id":
            raise ConfigurationError(f"track_usage(id={self}) on {function}: only its first call would ever count")
        if field in ("tenant", "subject"):
            name_text(field, self.value)
        if field == "quantity":
            quantity_text(self.value)

    def __str__(self) -> str:
        return f"constant({self.value!r})"


@dataclass(frozen=True)
class _Elapsed:
    unit: Unit

    def __call__(self, call: Call) -> Decimal:
        return in_unit(call.ended - call.started, self.unit)

    def __str__(self) -> str:
        return f"elapsed({self.unit!r})"


class _Yielded:
    def __call__(self, call: Call) -> int:
        return call.yielded

    def check(self, field: str, function: str, parameters: Parameters) -> None:
        """
        Raises:
            ConfigurationError: the function yields nothing.
        """
        if not parameters.of_generator:
            raise ConfigurationError(f"track_usage({field}=yielded()) on {function}: it is no generator")

    def __str__(self) -> str:
        return "yielded()"


AFTER_ONLY: Final = (_Result, _Elapsed, _Yielded)
"""Extractors of what is not known before the call."""


def arg(path: str) -> Extractor:
    """An argument: ``arg("tenant_id")``, or what it leads to: ``arg("request.user.org_id")``, ``arg("self.tenant")``.

    A step takes the key of a mapping and the attribute of anything else. That the function has the parameter is
    checked when it is decorated.

    Raises:
        ConfigurationError: ``path`` is no name or names with dots between.
    """
    return _Arg(_checked("arg", path))


def result(path: str = "") -> Extractor:
    """What the function returned: ``result()``, or what that leads to: ``result("usage.tokens")``.

    Raises:
        ConfigurationError: ``path`` is no name or names with dots between.
    """
    return _Result(_checked("result", path) if path else path)


def constant(value: Any) -> Extractor:
    """Always this: ``constant("acme")``."""
    return _Constant(value)


def elapsed(unit: Unit = "seconds") -> Extractor:
    """How long the call took, as an exact Decimal.

    Raises:
        ConfigurationError: no such unit.
    """
    check_unit(unit)
    return _Elapsed(unit)


def yielded() -> Extractor:
    """How many items a generator has yielded when it ends, is closed or fails."""
    return _Yielded()


def _checked(name: str, path: str) -> str:
    if not isinstance(path, str) or not all(path.split(".")):
        raise ConfigurationError(f"{name}({path!r}): write a name, or names with dots between, like 'request.user.id'")
    return path


def _follow(value: Any, names: list[str]) -> Any:
    for name in names:
        value = value[name] if isinstance(value, Mapping) else getattr(value, name)
    return value
