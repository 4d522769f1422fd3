"""Plain HTTP requests to the servers of an installation, without proxies."""

from __future__ import annotations

import http.client
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import SplitResult, urlencode, urlsplit

from meterline_schemas.errors import ConfigurationError


def parse_url(url: str, name: str) -> SplitResult:
    """The URL of a server.

    Raises:
        ConfigurationError: it is none; ``name`` is the variable that holds it.
    """
    parts = urlsplit(url)
    try:
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ConfigurationError(f"{name} is {url!r}; write it like http://127.0.0.1:8123")
    return parts


@contextmanager
def request(
    method: str,
    url: SplitResult,
    path: str,
    query: list[tuple[str, str]],
    headers: Mapping[str, str],
    body: bytes | None = None,
    *,
    timeout: float,
) -> Iterator[http.client.HTTPResponse]:
    """The answer, whose body is read by the caller.

    Raises:
        OSError or http.client.HTTPException: the server does not answer as HTTP has it.
    """
    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    connection = kind(url.hostname or "", url.port, timeout=timeout)
    try:
        target = url.path.rstrip("/") + path + ("?" + urlencode(query) if query else "")
        connection.request(method, target, body, dict(headers))
        yield connection.getresponse()
    finally:
        connection.close()
