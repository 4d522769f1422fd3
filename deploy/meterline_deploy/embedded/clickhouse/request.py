"""A request of ClickHouse's HTTP interface, taken apart: what is a parameter, a setting, or neither."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

from meterline_deploy.embedded.clickhouse.bodies import unpack
from meterline_deploy.embedded.clickhouse.errors import BAD_ARGUMENTS, NOT_IMPLEMENTED, EngineError, refusal
from meterline_deploy.embedded.clickhouse.form import read_form
from meterline_deploy.embedded.clickhouse.formats import DEFAULT
from meterline_deploy.embedded.clickhouse.statement import split_insert

_KNOWN = frozenset(
    [
        "query",
        "database",
        "default_format",
        "user",
        "password",
        "session_id",
        "session_timeout",
        "session_check",
        "close_session",
        "query_id",
        "quota_key",
        "compress",
        "decompress",
        "buffer_size",
        "wait_end_of_query",
        "role",
        "stacktrace",
        "client_protocol_version",
        "http_native_compression_disable_checksumming_on_decompress",
        "enable_http_compression",
    ]
)
_TRUE = frozenset({"1", "true"})
MAX_SESSION_SECONDS = 3600.0


@dataclass(frozen=True)
class Request:
    """``text`` is the statement, or only an INSERT's header where ``rows`` holds what follows it."""

    text: str
    rows: Iterator[bytes] | None
    database: str
    format: str
    query_id: str
    session: str
    session_seconds: float
    session_must_exist: bool
    session_closes: bool
    settings: Mapping[str, str]
    parameters: Mapping[str, str]
    compress_answer: bool
    reads_only: bool


def parse_request(method: str, headers: Mapping[str, str], arguments: Mapping[str, str], body: bytes) -> Request:
    """
    Raises:
        EngineError: a body that cannot be unpacked or is no text, or a feature that is not here.
    """
    if arguments.get("compress") in _TRUE or arguments.get("decompress") in _TRUE:
        raise refusal(
            NOT_IMPLEMENTED,
            "NOT_IMPLEMENTED",
            "compress=1 and decompress=1 (ClickHouse's own blocks) are not supported here; use HTTP compression, in "
            "JDBC compress=false",
        )
    unpacked = unpack(body, headers.get("content-encoding", ""))
    if headers.get("content-type", "").startswith("multipart/form-data"):
        arguments = {**arguments, **read_form(headers["content-type"], b"".join(unpacked))}
        unpacked = iter(())
    text, rows = _statement(arguments.get("query", ""), unpacked)
    return Request(
        text=text,
        rows=rows,
        database=arguments.get("database") or headers.get("x-clickhouse-database", ""),
        format=arguments.get("default_format") or headers.get("x-clickhouse-format") or DEFAULT,
        query_id=arguments.get("query_id") or str(uuid.uuid4()),
        session=arguments.get("session_id", ""),
        session_seconds=_seconds(arguments.get("session_timeout", "60")),
        session_must_exist=arguments.get("session_check") in _TRUE,
        session_closes=arguments.get("close_session") in _TRUE,
        settings={
            name: value for name, value in arguments.items() if name not in _KNOWN and not name.startswith("param_")
        },
        parameters={
            name.removeprefix("param_"): value for name, value in arguments.items() if name.startswith("param_")
        },
        compress_answer=arguments.get("enable_http_compression") in _TRUE,
        reads_only=method in ("GET", "HEAD"),
    )


def _statement(query: str, body: Iterator[bytes]) -> tuple[str, Iterator[bytes] | None]:
    """The query goes on in the body, as ClickHouse reads it: one text, of which an INSERT's rows stay bytes."""
    start = query.rstrip().encode()
    first = next(body, b"")
    if start and first:
        start += b"\n"
    start += first
    parts = split_insert(start)
    if parts is not None:
        header, rows = parts
        return _decode(header), chain((rows,) if rows else (), body)
    return _decode(b"".join((start, *body))), None


def _decode(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise refusal(BAD_ARGUMENTS, "BAD_ARGUMENTS", "The query is not UTF-8 text") from None


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= MAX_SESSION_SECONDS:
        raise EngineError(
            BAD_ARGUMENTS,
            f"Code: {BAD_ARGUMENTS}. DB::Exception: Invalid session timeout: '{text}' (BAD_ARGUMENTS)",
        )
    return seconds
