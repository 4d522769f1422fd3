"""What all three edges do with a request: ask the rules, track, keep count of what was not tracked. Never raises."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from meterline.middleware.rules import Answered, Reason, Rules, identity
from meterline.tracker import Tracker, default_producer
from meterline_schemas.errors import ConfigurationError

_logger: Final = logging.getLogger("meterline")
REPORT_SECONDS: Final = 60.0
FLUSH_SECONDS: Final = 5.0
_EXPECTED: Final = ("status", "unmatched")  # as the rules want it: counted, not logged
_meters: weakref.WeakSet[Meter] = weakref.WeakSet()


@dataclass(frozen=True)
class MiddlewareStats:
    """Requests of this process whose path is included: ``counted``, or ``skipped`` by reason.

    ``incomplete`` of the counted ones lack their subject or extra properties, since what finds those failed.
    """

    counted: int = 0
    incomplete: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)


class Payer(NamedTuple):
    """Who a request counts for. ``extra`` are the properties that the app adds."""

    tenant: str
    endpoint: str
    subject: str | None
    extra: Mapping[str, Any] | None


class Meter:
    """``producer`` is the process's default one where it is None, made with the first request that counts.

    ``template`` is the edge's way to the template of the route that answered a request; empty where none did.
    """

    def __init__(self, rules: Rules, producer: Tracker | None, template: Callable[[Any], object]) -> None:
        if producer is not None and not callable(getattr(producer, "track", None)):
            raise ConfigurationError(f"producer must be a UsageProducer, not {type(producer).__name__}")
        self.rules = rules
        self._producer = producer
        self._template = rules.endpoint or template
        self.start_over()
        _meters.add(self)

    def start_over(self) -> None:
        """Counts and lock of a new process."""
        self._lock = threading.Lock()
        self._counted = self._incomplete = 0
        self._skipped: Counter[str] = Counter()
        self._untold: Counter[str] = Counter()
        self._told: dict[str, float] = {}

    def stats(self) -> MiddlewareStats:
        with self._lock:
            return MiddlewareStats(self._counted, self._incomplete, dict(self._skipped))

    def payer(self, request: Any, status: int) -> Payer | None:
        """Who pays, or None where the request does not count; then it is counted as skipped."""
        try:
            endpoint = identity(self._template(request)) or ""
        except Exception as error:
            self._skip("endpoint_failed", _said(error))
            return None
        reason = self.rules.passed_over(status, endpoint)
        if reason is not None:
            self._skip(reason)
            return None
        try:
            tenant = identity(self.rules.tenant(request))
        except Exception as error:
            self._skip("tenant_failed", _said(error))
            return None
        if tenant is None:
            self._skip("no_tenant", f"{endpoint} was answered {status} and no tenant was found in the request")
            return None
        subject = extra = None
        try:
            if self.rules.subject is not None:
                subject = identity(self.rules.subject(request))
            if self.rules.extra is not None:
                extra = self.rules.extra(request)
                if extra is not None and not isinstance(extra, Mapping):
                    wrong, extra = type(extra).__name__, None
                    raise TypeError(f"properties must be a mapping, not {wrong}")
        except Exception as error:
            with self._lock:
                self._incomplete += 1
            self._note("incomplete", _said(error))
        return Payer(tenant, endpoint, subject, extra)

    def count(self, payer: Payer, answered: Answered, request: Any) -> None:
        """Track it, with what was measured until its answer's end."""
        try:
            amount = self.rules.amount(answered, request)
        except Exception as error:
            self._skip("quantity_failed", _said(error))
            return
        try:
            producer = self._producer or default_producer()
            properties = self.rules.properties(answered, payer.extra)
            producer.track(payer.tenant, self.rules.metric, amount, subject=payer.subject, properties=properties)
        except Exception as error:
            self._skip("refused", _said(error))
            return
        with self._lock:
            self._counted += 1

    def flush(self) -> None:
        """Wait, some seconds at most, until what was counted is sent. For servers whose end runs no exit handlers."""
        if self._counted:
            flush = getattr(self._producer or default_producer(), "flush", None)
            if flush is not None:
                flush(FLUSH_SECONDS)

    def _skip(self, reason: Reason, detail: str = "") -> None:
        with self._lock:
            self._skipped[reason] += 1
        if reason not in _EXPECTED:
            self._note(reason, detail)

    def _note(self, reason: str, detail: str) -> None:
        """Log it, each reason at most once a minute with the number since the last time."""
        with self._lock:
            self._untold[reason] += 1
            now = time.monotonic()
            if now - self._told.get(reason, -REPORT_SECONDS) < REPORT_SECONDS:
                return
            self._told[reason] = now
            requests = self._untold.pop(reason)
        outcome = "counted without subject or extra properties" if reason == "incomplete" else "not counted"
        _logger.warning("requests %s (%s): %d, for example: %s", outcome, reason, requests, detail)


def stats() -> MiddlewareStats:
    """What all middleware of this process counted and skipped."""
    found = [meter.stats() for meter in list(_meters)]
    skipped: Counter[str] = Counter()
    for each in found:
        skipped.update(each.skipped)
    return MiddlewareStats(sum(each.counted for each in found), sum(each.incomplete for each in found), dict(skipped))


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _after_fork() -> None:
    for meter in list(_meters):
        meter.start_over()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
