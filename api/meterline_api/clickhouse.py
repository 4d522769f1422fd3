"""The edge to ClickHouse: the only module here that imports its client."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError

from meterline_schemas.errors import ConfigurationError, UnavailableError
from meterline_schemas.settings import ClickHouseSettings

Rows = Sequence[Sequence[Any]]

# TOO_MANY_ROWS, TIMEOUT_EXCEEDED, TOO_SLOW, MEMORY_LIMIT_EXCEEDED, TOO_MANY_BYTES, TOO_MANY_ROWS_OR_BYTES
_LIMITS: Final = frozenset({158, 159, 160, 241, 307, 396})
_OF_SERVER: Final = "(total)"  # in the message where all queries together need too much memory
_LONGER: Final = 5.0  # seconds that the connection waits beyond the time that a query may take


class TooLargeError(UnavailableError):
    """A query needs more time, memory or rows than one may have: asked again as it is, it will not be answered."""


class ClickHouse:
    """Queries, each in a thread of the loop's pool. Connects at the first one, and again after a failure.

    Raises:
        ConfigurationError: the URL is none.
    """

    def __init__(self, settings: ClickHouseSettings, timeout: float) -> None:
        self._url = urlsplit(settings.url)
        if self._url.scheme not in ("http", "https") or not self._url.hostname:
            raise ConfigurationError(
                f"METERLINE_CLICKHOUSE_URL is {settings.url!r}; write it like http://127.0.0.1:8123"
            )
        self._settings = settings
        self._timeout = timeout
        self._client: Client | None = None
        self._connecting = threading.Lock()

    async def rows(
        self, sql: str, parameters: Mapping[str, Any], settings: Mapping[str, str | int] | None = None
    ) -> Rows:
        """The rows of a query. ``settings`` are further ones of ClickHouse.

        Raises:
            TooLargeError: it was given up at one of its limits.
            UnavailableError: ClickHouse does not answer, or with an error.
        """
        return await asyncio.to_thread(self.rows_now, sql, parameters, settings)

    def rows_now(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        settings: Mapping[str, str | int] | None = None,
    ) -> Rows:
        """As ``rows``, in this thread."""
        try:
            client = self._connect()
            result: Rows = client.query(
                sql,
                parameters=dict(parameters or {}),
                settings={"max_execution_time": max(1, int(self._timeout)), **(settings or {})},
            ).result_rows
        except (ClickHouseError, OSError) as error:
            said = " ".join(str(error).split())[:300]
            if isinstance(error, DatabaseError) and error.code in _LIMITS and _OF_SERVER not in str(error):
                raise TooLargeError(f"the query was given up: {said}") from None
            raise UnavailableError(f"ClickHouse at {self._settings.url} does not answer: {said}") from None
        return result

    async def document(
        self, sql: str, parameters: Mapping[str, Any], format: str, settings: Mapping[str, str | int] | None = None
    ) -> bytes:
        """A query's answer in one of ClickHouse's own formats.

        Raises:
            UnavailableError: as ``rows``.
        """
        return await asyncio.to_thread(self._document_now, sql, parameters, format, settings)

    def _document_now(
        self, sql: str, parameters: Mapping[str, Any], format: str, settings: Mapping[str, str | int] | None
    ) -> bytes:
        try:
            found: bytes = self._connect().raw_query(
                sql,
                parameters=dict(parameters),
                settings={"max_execution_time": max(1, int(self._timeout)), **(settings or {})},
                fmt=format,
            )
        except (ClickHouseError, OSError) as error:
            said = " ".join(str(error).split())[:300]
            if isinstance(error, DatabaseError) and error.code in _LIMITS and _OF_SERVER not in str(error):
                raise TooLargeError(f"the query was given up: {said}") from None
            raise UnavailableError(f"ClickHouse at {self._settings.url} does not answer: {said}") from None
        return found

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def _connect(self) -> Client:
        with self._connecting:
            if self._client is None:
                self._client = clickhouse_connect.get_client(
                    host=self._url.hostname,
                    port=self._url.port or (8443 if self._url.scheme == "https" else 8123),
                    interface=self._url.scheme,
                    proxy_path=self._url.path.strip("/"),
                    username=self._settings.user,
                    password=self._settings.password.get_secret_value(),
                    database=self._settings.database,
                    autogenerate_session_id=False,  # a session takes one query at a time
                    connect_timeout=5,
                    send_receive_timeout=self._timeout + _LONGER,
                    query_retries=1,
                )
            return self._client
