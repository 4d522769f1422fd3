"""Bodies that hold one JSON object with fields of an entry. Pure. A number in them never passes through a float."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, Final, NoReturn

_WIDEST: Final = 100  # decimal places on either side of the point; no field takes as many


class FieldsError(ValueError):
    """The body is no JSON object that can be read; the text says why."""


def read_fields(body: bytes) -> dict[str, Any]:
    """The members of a JSON object; numbers with a fraction or an exponent are ``Decimal``.

    Raises:
        FieldsError: it is none.
    """
    try:
        found = json.loads(body, parse_float=_number, parse_constant=_refuse, object_pairs_hook=_object)
    except FieldsError:
        raise
    except (ValueError, RecursionError) as error:
        raise FieldsError(f"the body is no JSON: {error}") from None
    try:
        json.dumps(found, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        raise FieldsError("the body holds half of a character (a lone surrogate such as \\ud800)") from None
    if not isinstance(found, dict):
        raise FieldsError('the body must be a JSON object, such as {"name": "value"}')
    return found


def _number(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except ArithmeticError:
        number = None
    if number is None or not number.is_finite() or (number and abs(number.adjusted()) > _WIDEST):
        raise FieldsError(f"the number {text[:50]} is out of range")
    return number


def _refuse(text: str) -> NoReturn:
    raise FieldsError(f"{text} is no JSON number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise FieldsError(f"{name[:100]!r} is there twice; which one is meant?")
        found[name] = value
    return found
