"""The engine: the only module that imports chdb.

A handle is a session: what is SET or USEd on it stays on it, other handles do not see it, and handles of one folder
run truly in parallel. Opening one takes under a millisecond, so every request has its own, but for named sessions.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, Final, NamedTuple

os.environ["TZ"] = "UTC"  # read once, while it is loaded; its configuration's <timezone> is not
time.tzset()

import chdb  # noqa: E402

from meterline_deploy.embedded.clickhouse.config import FRONT_DATABASE  # noqa: E402
from meterline_deploy.embedded.clickhouse.errors import EngineError, from_engine  # noqa: E402
from meterline_deploy.embedded.clickhouse.statement import Statement, read  # noqa: E402

_PARSE: Final = "SELECT formatQuerySingleLine({text:String})"
_IN_SCOPE = re.compile(r":? In scope SELECT formatQuerySingleLine\(.*\)\.(?= \(\w+\)\s*$)", re.DOTALL)

_KNOWN_STATEMENTS: Final = 512
_KNOWN_CHARACTERS: Final = 16 * 1024

_ACCOUNTS: Final = (
    f"CREATE DATABASE IF NOT EXISTS {FRONT_DATABASE} COMMENT 'Who may ask this server, beside its owner and analyst'",
    f"CREATE TABLE IF NOT EXISTS {FRONT_DATABASE}.users (name String, password_sha256 String, database String, "
    "changed_at DateTime64(9, 'UTC') DEFAULT now64(9, 'UTC'), removed UInt8) "
    "ENGINE = ReplacingMergeTree(changed_at, removed) ORDER BY name SETTINGS fsync_after_insert = 1 "
    "COMMENT 'Analysts of single tenants: `meterline analyst` writes it'",
)
_ACCOUNT: Final = f"SELECT password_sha256, database FROM {FRONT_DATABASE}.users FINAL WHERE name = {{name:String}}"


class Answer(NamedTuple):
    """``body`` in the statement's format, and what the engine counted. ``seconds`` is how long it took."""

    body: bytes
    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    seconds: float = 0.0


class Handle:
    """One session of the engine; one request at a time."""

    def __init__(self, url: str) -> None:
        try:
            self._connection = chdb.connect(url)
        except Exception as error:
            raise from_engine(error) from None

    def set(self, settings: Mapping[str, str]) -> None:
        """In one statement: eight in a row took longer than a short question itself.

        Raises:
            EngineError: there is no such setting, or it cannot have this value.
        """
        for name in settings:
            if not name.isidentifier() or not name.isascii():
                raise EngineError(115, f"Code: 115. DB::Exception: Unknown setting '{name}'. (UNKNOWN_SETTING)")
        if settings:
            self._run("SET " + ", ".join(f"{name} = {quote(value)}" for name, value in settings.items()))

    def reset(self, names: Iterable[str]) -> None:
        if changes := ", ".join(f"{name} = DEFAULT" for name in names):
            self._run(f"SET {changes}")

    def use(self, database: str) -> None:
        escaped = database.replace("\\", "\\\\").replace("`", "\\`")
        self._run(f"USE `{escaped}`")

    def take(self, role: str) -> None:
        """From now on only what this role may."""
        self._run(f"SET ROLE {role}")

    def query(self, text: str, format: str, parameters: Mapping[str, str]) -> Answer:
        started = time.perf_counter()
        result = self._run(text, format, dict(parameters))
        return Answer(
            bytes(result.bytes()),
            read_rows=result.storage_rows_read() or result.rows_read(),
            read_bytes=result.storage_bytes_read() or result.bytes_read(),
            written_rows=result.rows_written(),
            written_bytes=result.bytes_written(),
            seconds=time.perf_counter() - started,
        )

    def insert(self, header: str, format: str, rows: Iterable[bytes]) -> Answer:
        """Stream ``rows`` into an INSERT without its FORMAT: parsed by the engine, never copied to a file.

        Measured for 15 MB of JSONEachRow: 0.1–0.4 s, as INFILE of a file that is there already; the same rows inside
        the text of the statement take 0.6–1.0 s.
        """
        started = time.perf_counter()
        try:
            with self._connection.send_insert(header, format) as stream:
                for piece in rows:
                    stream.append(piece)
                done = stream.finish()
        except EngineError:
            raise
        except Exception as error:
            raise from_engine(error) from None
        return Answer(
            b"",
            written_rows=done.rows_written,
            written_bytes=done.bytes_written,
            seconds=time.perf_counter() - started,
        )

    def close(self) -> None:
        self._connection.close()

    def _run(self, text: str, format: str = "TabSeparated", parameters: dict[str, str] | None = None) -> Any:
        try:
            return self._connection.query(text, format, params=parameters or {})
        except Exception as error:
            raise from_engine(error) from None


class Engine:
    """The engine on one data folder, of which there can be only one in a process."""

    def __init__(self, data: Path, config: Path) -> None:
        self._url = f"{data}?config-file={config}"
        _forget_empty_default(data)
        self._parser = self.open()
        self._parsing = Lock()
        self._known = lru_cache(_KNOWN_STATEMENTS)(self._read)  # those that ask with parameters repeat
        self._parser.set({"max_query_size": str(64 * 1024 * 1024)})  # the handle that runs it has its own limit
        self._plain_default(data)
        for statement in _ACCOUNTS:
            self._parser.query(statement, "TabSeparated", {})
        functions = self._parser.query("SELECT lower(name) FROM system.table_functions", "TabSeparated", {}).body
        self.table_functions = frozenset(functions.decode().split())
        facts = self._parser.query("SELECT version(), timezone(), hostName()", "TabSeparated", {}).body
        self.version, self.timezone, self.host_name = facts.decode().strip().split("\t")

    def _plain_default(self, data: Path) -> None:
        """Make ``default`` a database like any other.

        At every start the engine lays another over it, whose tables are the files of this machine. What was kept in
        the plain one comes back with it.
        """
        if (data / "metadata" / "default.sql").exists():
            statements = ("DETACH DATABASE IF EXISTS default", "ATTACH DATABASE default")
        else:
            statements = ("DROP DATABASE IF EXISTS default", "CREATE DATABASE default ENGINE = Atomic")
        for statement in statements:
            self._parser.query(statement, "TabSeparated", {})

    def open(self) -> Handle:
        return Handle(self._url)

    def parse(self, text: str) -> Statement:
        """Read a statement with the engine's own parser, which runs nothing.

        Raises:
            EngineError: it is none, or there is more than one.
        """
        return self._known(text) if len(text) <= _KNOWN_CHARACTERS else self._read(text)

    def _read(self, text: str) -> Statement:
        try:
            with self._parsing:
                answer = self._parser.query(_PARSE, "TSVRaw", {"text": escape(text)})
        except EngineError as error:
            raise EngineError(error.code, _IN_SCOPE.sub("", str(error))) from None
        return read(answer.body.decode("utf-8", "replace").strip())

    def account(self, name: str) -> tuple[str, str] | None:
        """SHA-256 of the password and database of a tenant's analyst."""
        with self._parsing:
            answer = self._parser.query(_ACCOUNT, "TSVRaw", {"name": escape(name)})
        fields = answer.body.decode().strip().split("\t")
        return (fields[0], fields[1]) if len(fields) == 2 else None

    def close(self) -> None:
        self._parser.close()


def _forget_empty_default(data: Path) -> None:
    """Let a ``default`` without tables be made anew: once another lies over it, an empty one cannot be attached."""
    tables = data / "metadata" / "default"
    if not (tables.is_dir() and any(tables.iterdir())):
        (data / "metadata" / "default.sql").unlink(missing_ok=True)
        tables.unlink(missing_ok=True)


def quote(value: str) -> str:
    """A string literal."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def escape(value: str) -> str:
    """A text as the value of a query parameter: these are read as TabSeparated fields."""
    return (
        value.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r").replace("\0", "\\0")
    )
