"""One call of a decorated function, and the parameters by whose names its arguments are known."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial
from inspect import Parameter, Signature, isasyncgenfunction, isgeneratorfunction, isroutine, signature
from typing import Any

from meterline.units import in_unit
from meterline_schemas.errors import ConfigurationError


def code_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """What says whether a callable is a coroutine function or a generator: its ``__call__`` where it is an object."""
    return function if isroutine(function) or isinstance(function, partial) else type(function).__call__


class Parameters:
    """What a function takes. Some builtins do not tell: they have no parameters here."""

    def __init__(self, function: Callable[..., Any]) -> None:
        try:
            self._signature: Signature | None = signature(function)
        except (TypeError, ValueError):
            self._signature = None
        code = code_of(function)
        self.of_generator = isgeneratorfunction(code) or isasyncgenfunction(code)
        found = self._signature.parameters if self._signature is not None else {}
        self.names = tuple(found)
        self._further = [name for name, each in found.items() if each.kind is Parameter.VAR_KEYWORD]
        self._places = {
            name: (place, each.default)
            for place, (name, each) in enumerate(found.items())
            if each.kind is Parameter.POSITIONAL_OR_KEYWORD
        }

    def have(self, name: str) -> bool:
        """Whether an argument may have this name."""
        return name in self.names or bool(self._further)

    def find(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """One argument of a call, or its default: what ``bind`` has, without binding all where that can be helped.

        Raises:
            TypeError: the function does not take these arguments.
            LookupError: there is none of that name.
        """
        if name in self._places:
            place, default = self._places[name]
            if place < len(args):
                return args[place]
            found = kwargs.get(name, default)
            if found is not Parameter.empty:
                return found
        return self.bind(args, kwargs)[name]

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """All arguments of a call by name, defaults and further keyword arguments included.

        Raises:
            ConfigurationError: the function does not tell its parameters.
            TypeError: it does not take these arguments.
        """
        if self._signature is None:
            raise ConfigurationError("the function does not tell its parameters")
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        found = dict(bound.arguments)
        for name in self._further:
            found = {**found[name], **found}
        return found


class Call:
    """One call of a decorated function, as extractors see it once it has ended.

    ``args``: its arguments by the names of its parameters, defaults included. ``result``: what it returned, or None.
    ``error``: what it raised, or None. ``yielded``: how many items a generator has yielded. ``seconds``: how long it
    took, exact to the nanosecond.
    """

    def __init__(self, parameters: Parameters, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._parameters = parameters
        self._args = args
        self._kwargs = kwargs
        self.started = self.ended = time.monotonic_ns()
        self.returned = False
        self.result: Any = None
        self.error: BaseException | None = None
        self.yielded = 0

    @property
    def args(self) -> Mapping[str, Any]:
        return self._parameters.bind(self._args, self._kwargs)

    def arg(self, name: str) -> Any:
        """``args[name]``, sooner."""
        return self._parameters.find(name, self._args, self._kwargs)

    @property
    def seconds(self) -> Decimal:
        return in_unit(self.ended - self.started, "seconds")
