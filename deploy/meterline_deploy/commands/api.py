"""Requests of commands to the HTTP API."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from http.client import HTTPResponse

URL: Final = "METERLINE_API_URL"
KEY: Final = "METERLINE_API_KEY"
_TIMEOUT: Final = 60.0
_PAGE: Final = 1000  # entries that one answer can have


class Api:
    """``without`` says what can be done while it is away."""

    def __init__(self, url: str, key: str, without: str = "") -> None:
        self._url = url
        self._key = key
        self._without = without

    @classmethod
    def of_environment(cls, without: str = "") -> Self:
        return cls(os.environ.get(URL, ""), os.environ.get(KEY, ""), without)

    def ask(
        self,
        method: str,
        path: str,
        query: list[tuple[str, str]] | None = None,
        body: Any = None,
        *,
        timeout: float = _TIMEOUT,
    ) -> Any:
        """What it answers to a request that it takes, within ``timeout`` seconds.

        Raises:
            ConfigurationError: how to reach the API is missing or wrong.
            UnavailableError: the API does not answer, or something that it needs.
            MeterlineError: it refuses; the text is what it says.
        """
        import http.client

        from meterline_deploy.commands.web import parse_url, request
        from meterline_schemas.errors import ConfigurationError, UnavailableError

        if not self._url:
            raise ConfigurationError(f"{URL} is not set: set it and {KEY} to the API's, or use `meterline up`")
        headers = {"Authorization": f"Bearer {self._key}", "Accept": "application/json"}
        sent = None if body is None else json.dumps(body).encode()
        if sent is not None:
            headers["Content-Type"] = "application/json"
        try:
            with request(
                method, parse_url(self._url, URL), path, query or [], headers, sent, timeout=timeout
            ) as response:
                return self._read(response.status, response.read())
        except (OSError, http.client.HTTPException) as error:
            raise UnavailableError(
                f"the API at {self._url} does not answer ({error}); is it running? `meterline doctor` looks"
                f"{self._without}"
            ) from None

    @contextmanager
    def opened(self, path: str, query: list[tuple[str, str]], *, timeout: float = _TIMEOUT) -> Iterator[HTTPResponse]:
        """An answer whose body is read by the caller, with at most ``timeout`` seconds between two pieces.

        Raises as ``ask``, for what happens while it is read too.
        """
        import http.client

        from meterline_deploy.commands.web import parse_url, request
        from meterline_schemas.errors import ConfigurationError, UnavailableError

        if not self._url:
            raise ConfigurationError(f"{URL} is not set: set it and {KEY} to the API's, or use `meterline up`")
        headers = {"Authorization": f"Bearer {self._key}"}
        try:
            with request("GET", parse_url(self._url, URL), path, query, headers, timeout=timeout) as response:
                if response.status != http.client.OK:
                    self._read(response.status, response.read())
                yield response
        except http.client.IncompleteRead:
            raise UnavailableError(
                "the answer broke off before its end; ask again, the log of the API says why"
            ) from None
        except (TimeoutError, ConnectionError, http.client.HTTPException) as error:
            raise UnavailableError(
                f"the API at {self._url} does not answer ({error}); is it running? `meterline doctor` looks"
                f"{self._without}"
            ) from None

    def pages(
        self, path: str, query: list[tuple[str, str]] | None = None, limit: int | None = None
    ) -> tuple[list[Any], bool]:
        """The first ``limit`` entries of a list, or all; and whether there are more. Raises as ``ask``."""
        found: list[Any] = []
        cursor = ""
        while True:
            size = _PAGE if limit is None else min(limit - len(found), _PAGE)
            page = [("limit", str(size)), *([("cursor", cursor)] if cursor else [])]
            answer = self.ask("GET", path, [*(query or []), *page])
            found += answer["data"]
            cursor = answer.get("next_cursor") or ""
            if not cursor or (limit is not None and len(found) >= limit):
                return found, bool(cursor)

    def _read(self, status: int, body: bytes) -> Any:
        from meterline_schemas.errors import ConfigurationError, MeterlineError, UnavailableError

        taken = 200 <= status < 300
        if taken and not body:
            return None
        try:
            answer = json.loads(body)
            if not taken and isinstance(answer.get("error"), dict):  # as the requirement documents' paths have it
                answer = {"detail": answer["error"]["message"], **answer["error"].get("details", {})}
            detail = "" if taken else str(answer.get("detail") or answer.get("title"))
        except (ValueError, AttributeError, KeyError, TypeError):
            raise UnavailableError(
                f"what answers at {self._url} is not Meterline's API (HTTP {status}); look at {URL}"
            ) from None
        if taken:
            return answer
        if status == 401:
            raise ConfigurationError(f"the API does not take the key: set {KEY} to the API's; it says: {detail}")
        if status >= 500:
            raise UnavailableError(f"the API cannot do it now: {detail}; `meterline doctor` looks")
        fields = "; ".join(f"{each.get('field')}: {each.get('detail')}" for each in answer.get("errors") or [])
        more = f" ({fields})" if fields and fields != detail else ""
        raise MeterlineError(f"the API refuses: {detail}{more}")
