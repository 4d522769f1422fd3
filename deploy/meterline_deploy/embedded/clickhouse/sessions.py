"""Named sessions: handles that stay open between requests with the same ``session_id``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock

from meterline_deploy.embedded.clickhouse.engine import Handle
from meterline_deploy.embedded.clickhouse.errors import SESSION_IS_LOCKED, SESSION_NOT_FOUND, refusal


@dataclass
class _Session:
    handle: Handle
    until: float = 0.0
    busy: Lock = field(default_factory=Lock)


class Sessions:
    """Keeps a handle for ``timeout`` seconds after its last request, as ClickHouse does (60 by default)."""

    def __init__(self, open_handle: Callable[[], Handle], clock: Callable[[], float] = time.monotonic) -> None:
        self._open = open_handle
        self._clock = clock
        self._sessions: dict[tuple[str, str], _Session] = {}
        self._lock = Lock()

    @contextmanager
    def take(self, user: str, name: str, timeout: float, *, must_exist: bool) -> Iterator[Handle]:
        """
        Raises:
            EngineError: 373 while another request runs in this session, 372 where it had to exist and does not.
        """
        with self._lock:
            self._drop_old()
            session = self._sessions.get((user, name))
            if session is None:
                if must_exist:
                    raise refusal(SESSION_NOT_FOUND, "SESSION_NOT_FOUND", f"Session {name} not found")
                session = self._sessions[user, name] = _Session(self._open())
            if not session.busy.acquire(blocking=False):
                raise refusal(
                    SESSION_IS_LOCKED, "SESSION_IS_LOCKED", f"Session {name} is locked by a concurrent client"
                )
        try:
            yield session.handle
        finally:
            session.until = self._clock() + timeout
            session.busy.release()

    def forget(self, user: str, name: str) -> None:
        with self._lock:
            session = self._sessions.pop((user, name), None)
        if session:
            session.handle.close()

    def _drop_old(self) -> None:
        now = self._clock()
        for key, session in list(self._sessions.items()):
            if session.until < now and not session.busy.locked():
                del self._sessions[key]
                session.handle.close()
