"""The edge to ClickHouse. The only module here that imports its client."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from meterline_schemas.errors import ConfigurationError, UnavailableError
from meterline_schemas.settings import ClickHouseSettings

_SETTINGS: Final[Mapping[str, Any]] = {
    "max_execution_time": 0,
    "output_format_decimal_trailing_zeros": 0,  # rows are compared as text
    "max_bytes_before_external_group_by": 2_000_000_000,
}
_HOURS: Final = 24 * 3600  # seconds that one query may take


def connect(settings: ClickHouseSettings, user: str, password: str, *, timeout: float = _HOURS) -> Client:
    """A client of ClickHouse as ``user``.

    Raises:
        ConfigurationError: the URL is none.
        ClickHouseError or OSError: it does not answer, or does not know the user.
    """
    logging.getLogger("clickhouse_connect").addHandler(logging.NullHandler())  # its errors are raised too
    url = urlsplit(settings.url)
    try:
        port = url.port
    except ValueError:
        port = 0
    if url.scheme not in ("http", "https") or not url.hostname or port == 0:
        raise ConfigurationError(f"METERLINE_CLICKHOUSE_URL is {settings.url!r}; write it like http://127.0.0.1:8123")
    return clickhouse_connect.get_client(
        host=url.hostname,
        port=port or (8443 if url.scheme == "https" else 8123),
        interface=url.scheme,
        proxy_path=url.path.strip("/"),
        username=user,
        password=password,
        database=settings.database,
        autogenerate_session_id=False,  # a session takes one query at a time
        connect_timeout=5,
        send_receive_timeout=timeout,
        query_retries=0,
    )


class Warehouse:
    """Meterline's database, read as its owner.

    Raises:
        ConfigurationError: the URL is none.
        UnavailableError: ClickHouse does not answer, or with an error; from ``rows`` too.
    """

    def __init__(self, settings: ClickHouseSettings) -> None:
        self._url = settings.url
        try:
            self._client = connect(settings, settings.user, settings.password.get_secret_value())
        except (ClickHouseError, OSError) as error:
            raise self._unavailable(error) from None

    def rows(self, sql: str) -> Sequence[Sequence[Any]]:
        try:
            found: Sequence[Sequence[Any]] = self._client.query(sql, settings=dict(_SETTINGS)).result_rows
        except (ClickHouseError, OSError) as error:
            raise self._unavailable(error) from None
        return found

    def written(self) -> dict[tuple[str, int], int]:
        """How far each topic's partition is written: the first offset of ``usage.events`` that is not."""
        found = self.rows("SELECT topic, kafka_partition, next_offset FROM usage_progress FINAL")
        return {(str(topic), int(partition)): int(offset) for topic, partition, offset in found}

    def wait_until_written(self, wanted: Mapping[tuple[str, int], int], seconds: float) -> dict[tuple[str, int], int]:
        """As ``written``, once all that is wanted is written, or after ``seconds``."""
        deadline = time.monotonic() + seconds
        while True:
            written = self.written()
            if all(written.get(key, 0) >= offset for key, offset in wanted.items()) or time.monotonic() >= deadline:
                return written
            time.sleep(0.2)

    def close(self) -> None:
        self._client.close()

    def _unavailable(self, error: Exception) -> UnavailableError:
        said = " ".join(str(error).split())[:600]
        return UnavailableError(
            f"ClickHouse at {self._url} cannot be read; is it running, and are METERLINE_CLICKHOUSE_URL, _USER, "
            f"_PASSWORD and _DATABASE right? It says: {said}"
        )


def text(value: str) -> str:
    """A string literal."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'").replace("\0", "\\0") + "'"


def texts(values: Iterable[str]) -> str:
    """A list of string literals in brackets that ``IN`` takes."""
    return "(" + ", ".join(text(value) for value in values) + ")"


def by_partition(values: Mapping[int, int], default: int) -> str:
    """An expression: the value of each row's ``kafka_partition``."""
    if not values:
        return f"toInt64({default})"
    numbers = ", ".join(str(number) for number in values)
    chosen = ", ".join(f"toInt64({value})" for value in values.values())
    return f"transform(kafka_partition, [{numbers}], [{chosen}], toInt64({default}))"
