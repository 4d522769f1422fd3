"""Fields of a YAML mapping, each read as what its entry of the catalog wants there. Pure.

Numbers are taken from the text of the file: none of them ever passes through a float. What YAML makes of an unquoted
word (``no``, ``12``, ``2026-11-01``) is never taken for text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import Enum
from functools import cache, partial
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

import yaml
from pydantic import AwareDatetime, BaseModel

from meterline_schemas.catalog.paths import models_of, tags_of

STAMPS: Final = ("version", "changed_at")  # of an entry: written by the catalog itself

_TAG: Final = "tag:yaml.org,2002:"
_WHOLE: Final = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_TRUE: Final = re.compile(r"true|yes|on", re.IGNORECASE)


class Shape(Enum):
    """What the value of a field is; the words are for people."""

    TEXT = "text"
    FLAG = "true or false"
    WHOLE = "a whole number"
    DECIMAL = "a decimal number, such as 1.5"
    INSTANT = "a time with its zone, such as 2026-12-01T00:00:00Z"
    FIELDS = "fields, each with its value"


@dataclass(frozen=True)
class Field:
    """``many``: a list of such values. ``optional``: it may be left empty. ``kinds`` are what FIELDS may be of."""

    shape: Shape
    many: bool = False
    optional: bool = False
    kinds: tuple[type[BaseModel], ...] = ()

    def __str__(self) -> str:
        return f"a list, each {self.shape.value}" if self.many else self.shape.value


@dataclass(frozen=True)
class Problem:
    """A mistake; ``line`` counts from 1."""

    line: int
    what: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.what}"


@cache
def fields_of(kind: type[BaseModel]) -> Mapping[str, Field]:
    """The fields that a file may give an entry, or a model in one."""
    return {name: _field(info.annotation) for name, info in kind.model_fields.items() if name not in STAMPS}


def read_fields(
    kind: type[BaseModel], entry: yaml.MappingNode, take: Callable[[str, Any], None], within: str = ""
) -> Iterator[tuple[str, Problem]]:
    """Give each field that can be read to ``take``; the others come back, by name, with what is wrong.

    Of a field that has fields ``take`` gets those that can be read, and the name of another is its path, such as
    ``versions.0.start``. ``within`` is the path of the entry itself, with a dot.
    """
    known = fields_of(kind)
    seen: set[str] = set()
    for key, node in entry.value:
        name = name_of(key)
        path = within + name
        field = known.get(name)
        if field is None:
            yield path, Problem(line_of(key), f"`{path}` is not known; fields are {', '.join(known)}")
        elif name in seen:
            yield path, Problem(line_of(key), f"`{path}` stands twice")
        elif _is(node, "null"):
            if field.optional:
                take(name, None)
            else:
                yield path, Problem(line_of(key), f"`{path}` is empty: give it a value, or leave the line out")
        elif field.kinds:
            yield from _read_below(field, path, node, partial(take, name))
        else:
            try:
                take(name, _value(field, node))
            except _Wrong as wrong:
                yield path, Problem(line_of(wrong.node), f"`{path}` must be {wrong}")
        seen.add(name)


def _read_below(field: Field, path: str, node: yaml.Node, take: Callable[[Any], None]) -> Iterator[tuple[str, Problem]]:
    """As ``read_fields``, of a field that has fields, or a list of such."""
    if field.many:
        if not isinstance(node, yaml.SequenceNode):
            yield path, Problem(line_of(node), f"`{path}` must be {field}")
            return
        found: list[Any] = []
        for n, each in enumerate(node.value):
            yield from _read_below(replace(field, many=False), f"{path}.{n}", each, found.append)
        take(found)
    elif not isinstance(node, yaml.MappingNode):
        yield path, Problem(line_of(node), f"`{path}` must be {field}")
    else:
        values: dict[str, Any] = {}
        kind = _meant(field.kinds, node)
        if kind is not None:
            yield from read_fields(kind, node, values.__setitem__, f"{path}.")
        else:
            values = {name_of(key): value.value for key, value in node.value if isinstance(value, yaml.ScalarNode)}
        take(values)


def _meant(kinds: tuple[type[BaseModel], ...], node: yaml.MappingNode) -> type[BaseModel] | None:
    """Which of several kinds the fields are of: the one whose tag is among them."""
    if len(kinds) == 1:
        return kinds[0]
    words = {value.value for key, value in node.value if name_of(key) == "model" and isinstance(value, yaml.ScalarNode)}
    return next((kind for kind in kinds if words & tags_of(kind)), None)


def name_of(key: yaml.Node) -> str:
    """The name of a field; of what is no name, what it is."""
    if isinstance(key, yaml.ScalarNode):
        return str(key.value)
    return "a list" if isinstance(key, yaml.SequenceNode) else "a mapping"


def line_of(node: yaml.Node, path: str = "") -> int:
    """The line of a node, or of what lies below it at ``path``, such as ``steps.1``, as near as that is there."""
    for step in filter(None, path.split(".")):
        below = _below(node, step)
        if below is None:
            break
        node = below
    return int(node.start_mark.line) + 1


def _below(node: yaml.Node, step: str) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        found: list[yaml.Node] = [value for key, value in node.value if key.value == step]
    elif isinstance(node, yaml.SequenceNode) and step.isdecimal():
        found = node.value[int(step) : int(step) + 1]
    else:
        found = []
    return found[0] if found else None


class _Wrong(Exception):
    """The value at a node is not of the shape that its text says."""

    def __init__(self, node: yaml.Node, what: str) -> None:
        super().__init__(what)
        self.node = node


def _value(field: Field, node: yaml.Node) -> Any:
    if not field.many:
        return _scalar(field.shape, node, str(field))
    if not isinstance(node, yaml.SequenceNode):
        raise _Wrong(node, f"{field}, as in [a, b]")
    return [_scalar(field.shape, each, str(field)) for each in node.value]


def _scalar(shape: Shape, node: yaml.Node, words: str) -> Any:
    if not isinstance(node, yaml.ScalarNode):
        raise _Wrong(node, words)
    text: str = node.value
    match shape:
        case Shape.TEXT:
            if not _is(node, "str"):
                raise _Wrong(node, f"{words}; put it in quotes")
            return text
        case Shape.FLAG:
            if not _is(node, "bool"):
                raise _Wrong(node, words)
            return _TRUE.fullmatch(text) is not None
        case Shape.WHOLE:
            if not _WHOLE.fullmatch(text):
                raise _Wrong(node, words)
            return int(text)
        case Shape.DECIMAL:
            if not _is(node, "int", "float", "str"):
                raise _Wrong(node, words)
            return text
        case Shape.INSTANT:
            if not _is(node, "timestamp", "str"):
                raise _Wrong(node, words)
            return text
        case Shape.FIELDS:
            raise _Wrong(node, words)


def _is(node: yaml.Node, *kinds: str) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag in {_TAG + kind for kind in kinds}


def _field(annotation: Any) -> Field:
    kinds = tuple(models_of(annotation))
    if kinds:
        return Field(Shape.FIELDS, optional=NoneType in get_args(annotation), kinds=kinds)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _field(arguments[0])
    if origin in (Union, UnionType):
        (one,) = [each for each in arguments if each is not NoneType]
        return replace(_field(one), optional=True)
    if origin is tuple:
        return replace(_field(arguments[0]), many=True)
    if annotation is bool:
        return Field(Shape.FLAG)
    if annotation is int:
        return Field(Shape.WHOLE)
    if annotation in (datetime, AwareDatetime):
        return Field(Shape.INSTANT)
    return Field(Shape.DECIMAL if annotation is Decimal else Shape.TEXT)
