"""A request's parameters: each is read by name and kind, and what nobody read is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from meterline_deploy.stripe_stand_in.errors import StripeError, invalid

WHOLE: Final = re.compile(r"-?[0-9]{1,18}\Z")
DECIMAL: Final = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,20})?\Z")
LONGEST: Final = 5_000


class Params:
    """All methods raise StripeError (400) for a value of another kind; ``finish`` for what nobody asked for."""

    def __init__(self, values: Mapping[str, Any], inside: str = "") -> None:
        self._values = values
        self._inside = inside
        self._read: set[str] = set()
        self._groups: list[Params] = []

    def name(self, name: str) -> str:
        return f"{self._inside}[{name}]" if self._inside else name

    def has(self, name: str) -> bool:
        return self._values.get(name) not in (None, "")

    def _take(self, name: str) -> Any:
        self._read.add(name)
        return self._values.get(name)

    def needed(self, *names: str) -> None:
        for name in names:
            if not self.has(name):
                full = self.name(name)
                raise invalid(f"Missing required param: {full}.", full, "parameter_missing")

    def text(self, name: str, longest: int = LONGEST) -> str | None:
        value = self._take(name)
        if value in (None, ""):
            return None
        if not isinstance(value, str):
            raise invalid(f"Invalid string: {value}", self.name(name))
        if len(value) > longest:
            raise invalid(
                f"Invalid string: {value[:10]}...{value[-10:]}; must be at most {longest} characters", self.name(name),
                "parameter_invalid_string_too_long",
            )  # fmt: skip
        return value

    def must(self, name: str, longest: int = LONGEST) -> str:
        self.needed(name)
        return self.text(name, longest) or ""

    def whole(self, name: str, least: int | None = None, most: int | None = None) -> int | None:
        value = self._take(name)
        if value in (None, ""):
            return None
        text = value if isinstance(value, str) else ""
        if not WHOLE.match(text):
            raise invalid(f"Invalid integer: {value}", self.name(name), "parameter_invalid_integer")
        number = int(text)
        if (least is not None and number < least) or (most is not None and number > most):
            limits = f"at least {least}" if most is None else f"between {least} and {most}"
            raise invalid(f"Invalid integer: {value}; must be {limits}", self.name(name), "parameter_invalid_integer")
        return number

    def decimal(self, name: str, places: int) -> Decimal | None:
        value = self._take(name)
        if value in (None, ""):
            return None
        if not isinstance(value, str) or not DECIMAL.match(value):
            raise invalid(f"Invalid decimal: {value}", self.name(name))
        if len(value.partition(".")[2]) > places:
            raise invalid(f"Invalid decimal: {value}; must have at most {places} decimal places", self.name(name))
        return Decimal(value)

    def flag(self, name: str) -> bool | None:
        value = self._take(name)
        if value in (None, ""):
            return None
        if value not in ("true", "false", True, False):
            raise invalid(f"Invalid boolean: {value}", self.name(name))
        return value in ("true", True)

    def choice(self, name: str, *allowed: str) -> str | None:
        value = self.text(name)
        if value is not None and value not in allowed:
            words = " or ".join(filter(None, (", ".join(allowed[:-1]), allowed[-1])))
            raise invalid(f"Invalid {self.name(name)}: must be {words}", self.name(name))
        return value

    def group(self, name: str) -> Params:
        value = self._take(name)
        if value in (None, ""):
            value = {}
        if not isinstance(value, dict):
            raise invalid(f"Invalid object: {self.name(name)}", self.name(name))
        return self._inner(value, self.name(name))

    def groups(self, name: str) -> list[Params]:
        return [self._inner(value, f"{self.name(name)}[{n}]") for n, value in enumerate(self._list(name, dict))]

    def texts(self, name: str) -> list[str]:
        return self._list(name, str)

    def mapping(self, name: str) -> dict[str, str]:
        """Texts by names that the caller chose."""
        value = self._take(name)
        if value in (None, ""):
            return {}
        if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
            raise invalid(f"Invalid object: {self.name(name)}", self.name(name))
        return dict(value)

    def finish(self) -> None:
        for name in self._values:
            if name not in self._read:
                full = self.name(name)
                raise StripeError(
                    400, f"Received unknown parameter: {full}, or one that the Stripe stand-in does not have",
                    code="parameter_unknown", param=full, retry=False,
                )  # fmt: skip
        for group in self._groups:
            group.finish()

    def _list(self, name: str, kind: type) -> list[Any]:
        value = self._take(name)
        if value in (None, ""):
            return []
        if not isinstance(value, list) or not all(isinstance(each, kind) for each in value):
            raise invalid(f"Invalid array: {self.name(name)}", self.name(name))
        return value

    def _inner(self, value: dict[str, Any], inside: str) -> Params:
        group = Params(value, inside)
        self._groups.append(group)
        return group
