"""What a statement is, read from its text as the engine's own parser writes it back (``formatQuery``).

That form has no comments, one spelling of names, and only ``'…'`` strings and ``` `…` ``` names, so that a search in it
cannot be misled by quoting.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from meterline_deploy.embedded.clickhouse.errors import (
    ACCESS_DENIED,
    INTO_OUTFILE_NOT_ALLOWED,
    READONLY,
    refusal,
)

_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`", re.DOTALL)
_FORMAT = re.compile(r"\bFORMAT (\w+)(?: SETTINGS .*)?$", re.DOTALL)
_INSERT_FORMAT = re.compile(r" FORMAT \w+$")
_FILE = re.compile(r"\b(?:file|python)\s*\(", re.IGNORECASE)
_DESCRIBES_FUNCTION = re.compile(r"DESCRIBE TABLE \w+\(")  # opens what it describes before it asks whether it may
_READING: Final = ("SELECT ", "WITH ", "SHOW ", "DESCRIBE ", "EXPLAIN ", "EXISTS ", "USE ", "SET ")

# A tenant's analyst. The engine's roles keep other databases shut, but not all of what it tells about itself: whatever
# requests run just now are all of its one user.
_TENANT_READING: Final = ("SELECT ", "WITH ", "SHOW TABLES", "SHOW DATABASES", "SHOW CREATE ", "SHOW COLUMNS ")
_TENANT_READING_TOO: Final = ("DESCRIBE ", "EXISTS ", "EXPLAIN ")
_TENANT_SYSTEM: Final = (
    *("tables", "columns", "databases", "functions", "settings", "build_options", "contributors", "one", "numbers"),
    *("data_type_families", "table_engines", "table_functions", "formats", "time_zones", "keywords", "collations"),
    *("aggregate_function_combinators", "dictionaries"),
)
_ABOUT_THE_ENGINE = re.compile(
    rf"\b(?:system\b(?!\.(?:{'|'.join(_TENANT_SYSTEM)})\b)|information_schema\b)", re.IGNORECASE
)
_CALL = re.compile(r"(\w+)\s*\(")
_TENANT_FUNCTIONS: Final = frozenset(
    {"numbers", "numbers_mt", "zeros", "zeros_mt", "generate_series", "generateseries", "values", "null", "view"}
    | {"format"}  # a function of texts too
)

_HEADER_BYTES: Final = 256 * 1024
# the start of an INSERT that carries its rows in the same text: names and settings, then where the rows begin
_INLINE = re.compile(
    rb"""(?:\s|/\*.*?\*/|--[^\n]*\n)*INSERT\s+INTO\s
    (?P<target>(?:[^'"`();]|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`(?:[^`\\]|\\.)*`|\([^()]*\))*?)
    (?<=[\s)])(?:FORMAT\s+\w+|VALUES)(?=[\s({\[]|$)[ \t]*\r?\n?""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
_INSERT_SELECT = re.compile(rb"\b(?:SELECT|WITH|WATCH)\b", re.IGNORECASE)
_SPANS = re.compile(rb"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`(?:[^`\\]|\\.)*`|\([^()]*\)""", re.DOTALL)


@dataclass(frozen=True)
class Statement:
    """``canonical``: the engine's spelling on one line. ``format``: of the answer or of the rows."""

    canonical: str
    format: str | None
    inserts_rows: bool

    @property
    def insert_header(self) -> str:
        """An INSERT without its FORMAT."""
        return _INSERT_FORMAT.sub("", self.canonical)


def read(canonical: str) -> Statement:
    bare = _bare(canonical)
    found = _FORMAT.search(bare)
    # an INSERT … SELECT names the format of its input() only
    inserts_rows = bare.startswith("INSERT ") and bool(_INSERT_FORMAT.search(bare)) and " SELECT " not in bare
    return Statement(canonical, found.group(1) if found else None, inserts_rows)


def check(statement: Statement, *, may_write: bool) -> None:
    """Refuse what the engine, being made for local use, would do to this machine's files.

    Raises:
        EngineError: the statement reads or writes files, or is not one that a reader may send.
    """
    bare = _bare(statement.canonical)
    if " INTO OUTFILE " in bare or " FROM INFILE " in bare:
        raise refusal(
            INTO_OUTFILE_NOT_ALLOWED,
            "INTO_OUTFILE_NOT_ALLOWED",
            "INTO OUTFILE and FROM INFILE are not allowed over HTTP",
        )
    if _FILE.search(bare):
        raise refusal(ACCESS_DENIED, "ACCESS_DENIED", "The functions file and python are not available over HTTP")
    if not may_write and (not bare.startswith(_READING) or _DESCRIBES_FUNCTION.match(bare)):
        raise refusal(READONLY, "READONLY", "Cannot execute query in readonly mode.")


def check_tenant(statement: Statement, table_functions: frozenset[str]) -> None:
    """Refuse a tenant's analyst what the engine's roles do not: its own state, and functions that read other places.

    ``table_functions``: all that the engine has, in lower case.

    Raises:
        EngineError: the statement is another than a plain question to the analyst's own views.
    """
    names = _QUOTED.sub(
        lambda match: "''" if match.group().startswith("'") else match.group()[1:-1], statement.canonical
    )
    if not names.startswith((*_TENANT_READING, *_TENANT_READING_TOO)):
        raise refusal(READONLY, "READONLY", "Cannot execute query in readonly mode.")
    if _ABOUT_THE_ENGINE.search(names):
        raise refusal(ACCESS_DENIED, "ACCESS_DENIED", "Not enough privileges for this table of the database system")
    for name in _CALL.findall(names):
        if name.lower() in table_functions - _TENANT_FUNCTIONS:
            raise refusal(ACCESS_DENIED, "ACCESS_DENIED", f"Not enough privileges for the table function {name}")


def split_insert(text: bytes) -> tuple[bytes, bytes] | None:
    """``(header, rows)`` of the start of an INSERT that carries its rows, or None where it is no such statement.

    Only spares the parser megabytes of rows: what may be done is decided on the header, by the engine.
    """
    found = _INLINE.match(text[:_HEADER_BYTES])
    if not found or _INSERT_SELECT.search(_SPANS.sub(b" ", found["target"])):
        return None
    return text[: found.end()].rstrip(), text[found.end() :]


def _bare(canonical: str) -> str:
    return _QUOTED.sub(lambda match: "''" if match.group().startswith("'") else "q", canonical)
