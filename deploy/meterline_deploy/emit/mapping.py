"""Which column of a table gives which field of an event. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from meterline_schemas.errors import ConfigurationError

REQUIRED: Final = ("tenant_id", "metric", "quantity", "timestamp")
FIELDS: Final = (*REQUIRED, "id", "subject", "source")
ROW_COLUMN: Final = "rejected_row"  # of a file of rejects: the number that the row had where it comes from


@dataclass(frozen=True)
class Mapping:
    """``columns`` by field, ``values`` that are the same for every row by field, property columns by name.

    A field in neither is taken from the column of its own name. An empty column for ``id``: made from the rows.
    """

    columns: dict[str, str] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Places:
    """A mapping on the columns of one file: the index of each, ``number`` that of the row's own number."""

    fields: dict[str, int]
    values: dict[str, str]
    properties: tuple[tuple[str, int], ...]
    width: int
    number: int | None = None


def read_mapping(columns: Iterable[str], values: Iterable[str], properties: Iterable[str]) -> Mapping:
    """The options ``--map FIELD=COLUMN``, ``--set FIELD=VALUE`` and ``--property [NAME=]COLUMN``.

    Raises:
        ConfigurationError: one of them cannot be meant.
    """
    mapped = dict(_pair("--map", "COLUMN", text) for text in _once("--map", columns))
    fixed = dict(_pair("--set", "VALUE", text) for text in _once("--set", values))
    for name in mapped:
        if not mapped[name] and name != "id":
            raise ConfigurationError(f"--map {name}=: name the column of {name} after the =")
    if "id" in fixed:
        raise ConfigurationError("--set id: every event needs an id of its own; map a column, or leave it to the rows")
    both = sorted(mapped.keys() & fixed.keys())
    if both:
        raise ConfigurationError(f"{both[0]} is both mapped and set: say one of --map and --set")
    named = {}
    for text in properties:
        name, equals, column = text.partition("=")
        if not name or (equals and not column):
            raise ConfigurationError(f"--property {text}: write COLUMN, or NAME=COLUMN")
        if name in named:
            raise ConfigurationError(f"--property {name} is there twice")
        named[name] = column or name
    return Mapping(mapped, fixed, named)


def _once(option: str, texts: Iterable[str]) -> Iterable[str]:
    seen = set()
    for text in texts:
        name = text.partition("=")[0]
        if name in seen:
            raise ConfigurationError(f"{option} {name} is there twice")
        seen.add(name)
        yield text


def _pair(option: str, what: str, text: str) -> tuple[str, str]:
    name, equals, rest = text.partition("=")
    if not equals:
        raise ConfigurationError(f"{option} {text}: write FIELD={what}")
    if name not in FIELDS:
        raise ConfigurationError(f"{option} {name}: there is no such field; fields are {', '.join(FIELDS)}")
    return name, rest


def place(mapping: Mapping, columns: Sequence[str]) -> Places:
    """Find what is mapped among the columns of a file.

    Raises:
        ConfigurationError: a column is not there or there twice, or a field comes from nowhere: says all that is wrong
            and which columns there are.
    """
    wrong: list[str] = []

    def index(column: str, option: str) -> int:
        if columns.count(column) != 1:
            wrong.append(f"{option}: {'no such column' if column not in columns else 'the file has that column twice'}")
            return 0
        return columns.index(column)

    fields = {name: index(column, f"--map {name}={column}") for name, column in mapping.columns.items() if column}
    for name in FIELDS:
        if name in mapping.columns or name in mapping.values:
            continue
        if name == "id" and name in columns:
            wrong.append(
                "the file has a column id: --map id=id takes it as the events' ids, if they are unique in all files; "
                "--map id= makes ids from the rows"
            )
        elif name in columns:
            fields[name] = index(name, name)
        elif name == "timestamp":
            wrong.append(
                "no column gives the timestamp: --map timestamp=COLUMN, or --set timestamp=TIME for all rows; "
                "the time of the run is never taken, since a second run would count again"
            )
        elif name in REQUIRED:
            wrong.append(f"no column gives the {name}: --map {name}=COLUMN, or --set {name}=VALUE for all rows")
    properties = tuple(
        (name, index(column, f"--property {column}")) for name, column in sorted(mapping.properties.items())
    )
    if wrong:
        raise ConfigurationError("; ".join(wrong) + _listed(columns))
    number = columns.index(ROW_COLUMN) if ROW_COLUMN in columns else None
    return Places(fields, mapping.values, properties, len(columns), number)


def _listed(columns: Sequence[str]) -> str:
    if len(columns) == 1:
        for delimiter, name in ((";", "';'"), ("\t", "tab"), ("|", "'|'"), (",", "','")):
            if delimiter in columns[0]:
                return f". The file has one column, {columns[0]!r}: is its delimiter another (--delimiter {name})?"
    return f". The file has the columns: {', '.join(columns)}"
