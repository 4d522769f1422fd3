"""Records to ``POST /v1/events``, for apps that cannot reach Kafka. Needs urllib3: ``pip install meterline[http]``.

One request at a time, packed with gzip. An answer that may be another one next time (no connection, 429, 5xx, a key
that is refused) is waited out and the same record sent again, with the ids that its events have: each counts once.
"""

from __future__ import annotations

import email.utils
import gzip
import random
import time
from collections import Counter, deque
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import msgspec

from meterline.records import Record, halves
from meterline.transport import Answer, Answered
from meterline_schemas.errors import ConfigurationError

if TYPE_CHECKING:
    import urllib3

_MAX_EVENTS: Final = 5_000
_MAX_BYTES: Final = 1024 * 1024
_LONGEST_ANSWER: Final = 4 * 1024 * 1024
_TIMEOUT: Final = 20.0  # seconds: longer than the API waits for Kafka
_WAITING: Final = 16  # records
_FIRST_WAIT: Final = 0.25
_LONGEST_WAIT: Final = 30.0
_LONGEST_RETRY_AFTER: Final = 600.0
_FINAL: Final = frozenset({HTTPStatus.ACCEPTED, HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN})


class _Event(msgspec.Struct):
    status: str
    detail: str | None = None


class _Body(msgspec.Struct):
    """An answer, or a problem of RFC 9457."""

    events: list[_Event] = []
    detail: str = ""


class HttpTransport:
    """``url`` is the API's, without ``/v1/events``."""

    partitions = 1
    max_events = _MAX_EVENTS
    max_bytes = _MAX_BYTES

    def __init__(self, url: str, api_key: str, answered: Answered) -> None:
        self._url = f"{url.rstrip('/')}/v1/events"
        self._headers = {
            "Authorization": f"Bearer {api_key}",
            "Content-Type": "application/x-ndjson",
            "Content-Encoding": "gzip",
        }
        self._answered = answered
        self._pool = pool()
        self._waiting: deque[Record] = deque()
        self._not_before = 0.0
        self._failures = 0

    def reach(self) -> None:
        """There is no connection to be made before the first request."""

    def trouble(self) -> str:
        """Every request has an answer, which says it."""
        return ""

    def send(self, record: Record) -> bool:
        if len(self._waiting) >= _WAITING:
            return False
        self._waiting.append(record)
        return True

    def poll(self, seconds: float) -> None:
        """Send what waits, unless an answer asked to wait; without any the time is slept."""
        pause = self._not_before - time.monotonic()
        if not self._waiting or pause > 0:
            time.sleep(max(0.0, min(seconds, pause) if self._waiting else seconds))
            return
        record = self._waiting.popleft()
        try:
            answer = self._post(record)
        except Exception as error:  # whatever it is: the record is to be sent again
            answer = self._wait(f"{self._url} cannot be reached: {_reason(error)}")
        if answer is not None:
            self._answered(record, answer)

    def close(self) -> None:
        self._pool.clear()

    def _post(self, record: Record) -> Answer | None:
        """One request; None if the record was cut in two instead."""
        body = gzip.compress(record.value, 1)
        answer = self._pool.request(
            "POST", self._url, body=body, headers=self._headers, retries=False, redirect=False, preload_content=False
        )
        try:
            said = _read(answer)
        finally:
            answer.release_conn()
        if answer.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return self._halve(record)
        if answer.status not in _FINAL or len(said.events) != record.events:
            why = said.detail or answer.reason or "an answer that is not Meterline's"
            return self._wait(f"{self._url} answered {answer.status}: {why}", answer.headers.get("Retry-After"))
        self._failures = 0
        outcomes = Counter(event.status for event in said.events)
        failed = record.events - outcomes["accepted"]
        if not failed:
            return Answer()
        first = next(event for event in said.events if event.status != "accepted")
        return Answer(failed=failed, detail=f"the API refused them, the first as {first.status}: {first.detail}")

    def _wait(self, detail: str, retry_after: str | None = None) -> Answer:
        self._failures += 1
        longest = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** min(self._failures, 16))
        seconds = longest * random.uniform(0.5, 1)  # so that not all apps come back at once
        if retry_after is not None:
            seconds = max(seconds, seconds_of(retry_after))
        self._not_before = time.monotonic() + seconds
        return Answer(again=True, detail=f"{detail}; sending usage events again in {seconds:.1f} s")

    def _halve(self, record: Record) -> Answer | None:
        if record.events == 1:
            return Answer(failed=1, detail=f"{self._url} takes no event of {len(record.value):,} bytes")
        self._waiting.extendleft(reversed(halves(record)))
        return None


def pool() -> urllib3.PoolManager:
    """Connections that are kept open.

    Raises:
        ConfigurationError: urllib3 is not installed.
    """
    try:
        import urllib3
    except ImportError:
        raise ConfigurationError("sending over HTTP needs urllib3: pip install 'meterline[http]'") from None
    return urllib3.PoolManager(maxsize=1, timeout=urllib3.Timeout(connect=5.0, read=_TIMEOUT))


def seconds_of(retry_after: str) -> float:
    """Seconds that a ``Retry-After`` asks for (RFC 9110: a number, or a date), 0 where it says nothing, bounded."""
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time()
        except (ValueError, OverflowError):
            return 0.0
    return min(max(0.0, seconds), _LONGEST_RETRY_AFTER) if seconds == seconds else 0.0


def _read(answer: urllib3.BaseHTTPResponse) -> _Body:
    """What it says, empty where it is no answer of Meterline's.

    Raises:
        TimeoutError: it does not end.
    """
    deadline = time.monotonic() + _TIMEOUT
    parts = bytearray()
    while part := answer.read1(64 * 1024):
        parts += part
        if len(parts) > _LONGEST_ANSWER or time.monotonic() > deadline:
            answer.close()
            raise TimeoutError("the answer does not end")
    try:
        return msgspec.json.decode(parts, type=_Body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _Body()


def _reason(error: Exception) -> str:
    """What went wrong, without the objects that urllib3 names in it, and without what may hold a secret."""
    if "WRONG_VERSION_NUMBER" in str(error):
        return "it does not speak TLS: does the URL begin with http://?"
    if isinstance(error, OSError) or type(error).__module__.startswith("urllib3"):
        return str(error).rpartition(": ")[2] or type(error).__name__
    return type(error).__name__
