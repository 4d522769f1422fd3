"""Filters of usage: a JSON document in, a condition out. Pure.

``{"subject": {"prefix": "user:"}, "quantity": {"gt": "2.5"}}``: every field and every operator of an object must hold.
``{"or": [{…}, {…}]}`` and ``{"and": […]}`` combine. What compares is a parameter of the statement, never its text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from meterline_schemas.event import MAX_ID
from meterline_schemas.quantity import QuantityError, read

MAX_DEPTH: Final = 5
MAX_TESTS: Final = 50
MAX_VALUES: Final = 500  # of all "in" together
PROPERTY: Final = "properties."
OF_TOTALS: Final = frozenset({"tenant_id", "metric"})  # what totals keep apart

_TEXTS: Final = ("tenant_id", "metric", "subject", "source")
_ORDERS: Final = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_EQUAL: Final = ("eq", "ne", "in")
_OPERATORS: Final[Mapping[str, tuple[str, ...]]] = {
    "tenant_id": (*_EQUAL, "prefix"),
    "metric": (*_EQUAL, "prefix"),
    "subject": (*_EQUAL, "prefix", "exists"),
    "source": (*_EQUAL, "prefix", "exists"),
    "quantity": (*_EQUAL, *_ORDERS),
    "timestamp": tuple(_ORDERS),
    PROPERTY: (*_EQUAL, "prefix", "exists", *_ORDERS),
}
_NUMBER: Final = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,30})?", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


class FilterError(ValueError):
    """The document is no filter; the text says where and why."""


@dataclass(frozen=True)
class Test:
    """``value`` is text, of ``exists`` a bool, of ``in`` a tuple, of a timestamp milliseconds, of an order of
    properties by their numbers a Decimal.
    """

    field: str
    operator: str
    value: Any


@dataclass(frozen=True)
class All:
    """Every one holds; nothing to hold holds."""

    of: tuple[Filter, ...]


@dataclass(frozen=True)
class Some:
    """At least one holds."""

    of: tuple[Filter, ...]


Filter = Test | All | Some


def read_filter(document: Any) -> Filter:
    """
    Raises:
        FilterError: it is none, or larger than one may be.
    """
    found = _object(document, 1)
    tests = list(tests_of(found))
    if len(tests) > MAX_TESTS:
        raise FilterError(
            f"has {len(tests)} comparisons, at most {MAX_TESTS} are taken; `in` compares with many values"
        )
    values = sum(len(test.value) for test in tests if test.operator == "in")
    if values > MAX_VALUES:
        raise FilterError(f"has {values} values in its `in`, at most {MAX_VALUES} are taken; ask in parts")
    return found


def tests_of(found: Filter) -> Iterator[Test]:
    """Every comparison, in order."""
    if isinstance(found, Test):
        yield found
    else:
        for each in found.of:
            yield from tests_of(each)


def metrics_of(found: Filter | None) -> set[str] | None:
    """The metrics that a filter can let through at most; None: it does not say."""
    match found:
        case Test("metric", "eq", value):
            return {value}
        case Test("metric", "in", values):
            return set(values)
        case All(of):
            known = [metrics for each in of if (metrics := metrics_of(each)) is not None]
            return set.intersection(*known) if known else None
        case Some(of):
            each_of = [metrics_of(each) for each in of]
            return None if None in each_of else set().union(*(metrics or set() for metrics in each_of))
    return None


def condition(found: Filter) -> tuple[str, dict[str, Any]]:
    """As SQL over a table or view ``u``, and its parameters."""
    parameters: dict[str, Any] = {}

    def bind(value: Any, type: str) -> str:
        name = f"filter_{len(parameters)}"
        parameters[name] = value
        return f"{{{name}:{type}}}"

    return _sql(found, bind), parameters


_Bind = Callable[[Any, str], str]


def _sql(found: Filter, bind: _Bind) -> str:
    match found:
        case All(of):
            return "(" + " AND ".join(_sql(each, bind) for each in of) + ")" if of else "1"
        case Some(of):
            return "(" + " OR ".join(_sql(each, bind) for each in of) + ")"
        case Test("quantity"):
            return _quantity(found, bind)
        case Test("timestamp", operator, value):
            return f"u.timestamp {_ORDERS[operator]} fromUnixTimestamp64Milli({bind(value, 'Int64')}, 'UTC')"
        case _ if found.field.startswith(PROPERTY):
            name = bind(found.field.removeprefix(PROPERTY), "String")
            return _property(found, f"u.properties[{name}]", f"mapContains(u.properties, {name})", bind)
    return _text(found, f"u.{found.field}", bind)


def _quantity(test: Test, bind: _Bind) -> str:
    if test.operator == "in":
        either = " OR ".join(f"u.quantity = {bind(str(value), 'Decimal(38, 9)')}" for value in test.value)
        return f"({either})"
    operator = {"eq": "=", "ne": "!=", **_ORDERS}[test.operator]
    return f"u.quantity {operator} {bind(str(test.value), 'Decimal(38, 9)')}"


def _property(test: Test, value: str, has: str, bind: _Bind) -> str:
    match test.operator:
        case "exists":
            return has if test.value else f"NOT {has}"
        case "ne":
            return f"NOT ({has} AND {_text(Test(test.field, 'eq', test.value), value, bind)})"
        case operator if isinstance(test.value, Decimal):
            number = bind(format(test.value, "f"), "Decimal(76, 30)")
            return f"({has} AND ifNull(toDecimal256OrNull({value}, 30) {_ORDERS[operator]} {number}, 0))"
        case _:
            return f"({has} AND {_text(test, value, bind)})"


def _text(test: Test, column: str, bind: _Bind) -> str:
    match test.operator:
        case "exists":
            return f"{column} {'!=' if test.value else '='} ''"
        case "in":
            return f"{column} IN {bind(list(test.value), 'Array(String)')}"
        case "prefix":
            return f"startsWith({column}, {bind(test.value, 'String')})"
        case operator:
            return f"{column} {({'eq': '=', 'ne': '!='} | _ORDERS)[operator]} {bind(test.value, 'String')}"


def _object(document: Any, depth: int) -> Filter:
    if depth > MAX_DEPTH:
        raise FilterError(f"is nested more than {MAX_DEPTH} deep")
    if not isinstance(document, Mapping):
        raise FilterError('must be a JSON object, such as {"subject": {"eq": "user:1"}}')
    found: list[Filter] = []
    for name, value in document.items():
        if name in ("and", "or"):
            if not isinstance(value, list) or not value:
                raise FilterError(f"{name}: must be a list of filters, and not empty")
            of = tuple(_object(each, depth + 1) for each in value)
            found.append(All(of) if name == "and" else Some(of))
        else:
            found += _tests(name, value)
    return found[0] if len(found) == 1 else All(tuple(found))


def _tests(field: str, operators: Any) -> list[Test]:
    if not _is_text(field):
        raise FilterError("a name of a field is no text that UTF-8 can hold")
    kind = PROPERTY if field.startswith(PROPERTY) and field != PROPERTY else field.removeprefix(PROPERTY)
    if kind not in _OPERATORS or len(field) > len(PROPERTY) + MAX_ID:
        names = ", ".join([*_TEXTS, "quantity", "timestamp", "properties.<name>"])
        raise FilterError(f"{field[:100]!r} is no field; fields are {names}, and `and` and `or` combine")
    if not isinstance(operators, Mapping) or not operators:
        raise FilterError(f'{field[:100]}: must be an object such as {{"{_OPERATORS[kind][0]}": …}}')
    for operator in operators:
        if operator not in _OPERATORS[kind]:
            raise FilterError(
                f"{field[:100]}: {operator[:100]!r} is not for it; it takes {', '.join(_OPERATORS[kind])}"
            )
    return [Test(field, operator, _value(field, kind, operator, value)) for operator, value in operators.items()]


def _value(field: str, kind: str, operator: str, value: Any) -> Any:
    where = f"{field[:100]}.{operator}"
    if operator == "exists":
        if not isinstance(value, bool):
            raise FilterError(f"{where}: must be true or false")
        return value
    if operator == "in":
        if not isinstance(value, list) or not value:
            raise FilterError(f"{where}: must be a list of values, and not empty")
        return tuple(_one(where, kind, "eq", each) for each in value)
    return _one(where, kind, operator, value)


def _one(where: str, kind: str, operator: str, value: Any) -> Any:
    if kind == "timestamp":
        return _milliseconds(where, value)
    text = _plain(where, value)
    if kind == "quantity":
        try:
            return read(text)[1]
        except QuantityError as error:
            raise FilterError(f"{where}: {error}") from None
    if kind == PROPERTY and operator in _ORDERS and _NUMBER.fullmatch(text):
        return Decimal(text)
    return text


def _plain(where: str, value: Any) -> str:
    """A value as the text that events carry it as."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, (str, int, Decimal)):
        raise FilterError(f"{where}: must be text, a number or a boolean")
    text = format(value, "f") if isinstance(value, Decimal) else str(value)
    if not _is_text(text):
        raise FilterError(f"{where}: is no text that UTF-8 can hold")
    if len(text) > 4 * MAX_ID:
        raise FilterError(f"{where}: is longer than {4 * MAX_ID} characters")
    return text


def _is_text(text: str) -> bool:
    """JSON can name halves of characters that no text is made of."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _milliseconds(where: str, value: Any) -> int:
    try:
        at = datetime.fromisoformat(value)
        since, rest = divmod(at - _EPOCH, _MILLISECOND)
    except (TypeError, ValueError, OverflowError):
        raise FilterError(f"{where}: must be a time such as 2026-11-21T06:00:00.250Z") from None
    if rest:
        raise FilterError(f"{where}: times have milliseconds at most")
    if not 0 <= since < 2**32 * 1000:
        raise FilterError(f"{where}: usage lies between 1970 and 2105")
    return since


def fields_of(found: Filter | None) -> set[str]:
    """The fields that a filter looks at."""
    return set() if found is None else {test.field for test in tests_of(found)}
