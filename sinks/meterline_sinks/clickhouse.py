"""The edge to ClickHouse: the only module here that imports its client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError

from meterline_schemas.errors import ConfigurationError, UnavailableError
from meterline_schemas.settings import ClickHouseSettings

INSERT_SETTINGS: Final[Mapping[str, str | int]] = {
    # rewrites are harmless because rows replace; dropping a block because it was seen before is not, after a TRUNCATE
    "insert_deduplicate": 0,
    # the answer means that the rows are in the table
    "async_insert": 0,
    "date_time_input_format": "best_effort",
    # a field without a column would be lost in silence
    "input_format_skip_unknown_fields": 0,
    # one block, however many rows: what an insert writes of a month is there at once or not at all
    "min_insert_block_size_rows": 2**40,
    "min_insert_block_size_bytes": 2**50,
}
_COMMAND_SETTINGS: Final[Mapping[str, str | int]] = {"insert_deduplicate": 0}

# Answers that speak of the data: the same bytes get the same answer for ever. ClickHouse's ErrorCodes.cpp.
_REFUSED: Final = frozenset(
    {
        6,  # CANNOT_PARSE_TEXT
        24,  # CANNOT_PARSE_ESCAPE_SEQUENCE, and the next two: quoted string, input assertion
        25,
        26,
        27,
        38,  # CANNOT_PARSE_DATE
        41,  # CANNOT_PARSE_DATETIME
        53,  # TYPE_MISMATCH
        69,  # ARGUMENT_OUT_OF_BOUND
        70,  # CANNOT_CONVERT_TYPE
        72,  # CANNOT_PARSE_NUMBER
        117,  # INCORRECT_DATA, an unknown field among others
        130,  # CANNOT_READ_ARRAY_FROM_TEXT
        131,  # TOO_LARGE_STRING_SIZE
        349,  # CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
        407,  # DECIMAL_OVERFLOW
        469,  # VIOLATED_CONSTRAINT
    }
)
ACCESS_DENIED: Final = 497
_MAX_ANSWER: Final = 600  # characters of an answer that are passed on


class RefusedError(Exception):
    """ClickHouse refuses the rows for what is in them."""


class CommandError(Exception):
    """ClickHouse answered a command with an error, ``code`` as in its ErrorCodes.cpp."""

    def __init__(self, code: int | None, answer: str) -> None:
        super().__init__(answer)
        self.code = code


class ClickHouse:
    """One connection, made when it is first needed and again after it failed.

    ``database`` is the one that statements without a database mean; None is the server's default.

    Raises:
        ConfigurationError: the URL is none.
    """

    def __init__(self, settings: ClickHouseSettings, database: str | None = None, timeout: float = 60) -> None:
        self._url = urlsplit(settings.url)
        if self._url.scheme not in ("http", "https") or not self._url.hostname:
            raise ConfigurationError(
                f"METERLINE_CLICKHOUSE_URL is {settings.url!r}; write it like http://127.0.0.1:8123"
            )
        self._settings = settings
        self._database = database
        self._timeout = timeout
        self._client: Client | None = None

    def insert(self, table: str, body: bytes) -> None:
        """Write JSON lines; on return they are in the table.

        Raises:
            RefusedError: for what is in the rows; the same rows will be refused again.
            UnavailableError: it does not answer, or answers with an error that can pass. Rows may have been written.
        """
        try:
            self._connect().raw_insert(table, insert_block=body, settings=dict(INSERT_SETTINGS), fmt="JSONEachRow")
        except (ClickHouseError, OSError) as error:
            code = getattr(error, "code", None)
            if code in _REFUSED:
                raise RefusedError(_answer(error)) from None
            raise self._unavailable(error) from None

    def command(self, sql: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Run a statement that has no rows to return. ``parameters`` are bound, and may be long.

        Raises:
            CommandError: the server answered with an error.
            UnavailableError: it does not answer.
        """
        try:
            if parameters is None:
                self._connect().command(sql)
            else:  # takes them into the body where they are too long for a URL
                self._connect().raw_query(sql, parameters=dict(parameters), settings=dict(_COMMAND_SETTINGS))
        except DatabaseError as error:
            if error.code is None:
                raise self._unavailable(error) from None
            raise CommandError(error.code, _answer(error)) from None
        except (ClickHouseError, OSError) as error:
            raise self._unavailable(error) from None

    def rows(self, sql: str) -> Sequence[Sequence[Any]]:
        """The rows of a query. Raises as ``command`` does."""
        try:
            result: Sequence[Sequence[Any]] = self._connect().query(sql).result_rows
        except DatabaseError as error:
            if error.code is None:
                raise self._unavailable(error) from None
            raise CommandError(error.code, _answer(error)) from None
        except (ClickHouseError, OSError) as error:
            raise self._unavailable(error) from None
        return result

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _connect(self) -> Client:
        if self._client is None:
            try:
                self._client = clickhouse_connect.get_client(
                    host=self._url.hostname,
                    port=self._url.port or (8443 if self._url.scheme == "https" else 8123),
                    interface=self._url.scheme,
                    proxy_path=self._url.path.strip("/"),
                    username=self._settings.user,
                    password=self._settings.password.get_secret_value(),
                    database=self._database or "__default__",
                    autogenerate_session_id=False,  # an abandoned insert must not lock the next one out
                    compress=False,
                    connect_timeout=5,
                    send_receive_timeout=self._timeout,
                    query_retries=0,
                )
            except (ClickHouseError, OSError) as error:
                raise self._unavailable(error) from None
        return self._client

    def _unavailable(self, error: Exception) -> UnavailableError:
        return UnavailableError(
            f"ClickHouse at {self._settings.url} does not take what is sent; is it running, and are "
            f"METERLINE_CLICKHOUSE_URL, _USER and _PASSWORD right? It says: {_answer(error)}"
        )


def _answer(error: Exception) -> str:
    """What it said, on one line."""
    return " ".join(str(error).split())[:_MAX_ANSWER]
