"""A part of a running Meterline: one process, how it is started and how it says that it is ready."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

Ready = Callable[[], bool]

_PROBE_SECONDS: Final = 1.0


@dataclass(frozen=True)
class Part:
    """``name`` is unique, and names the log; ``grace`` is how many seconds it gets to stop by itself."""

    name: str
    command: Sequence[str]
    ready: Ready
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)  # with passwords
    address: str = ""
    grace: float = 3.0
    health: str = ""


@dataclass(frozen=True)
class Probe:
    """What a part's ``/health`` answered. ``problem`` is ``""`` where all is well."""

    ready: bool
    problem: str


def probe(url: str) -> Probe:
    """Ask a part how it is."""
    try:
        with urllib.request.urlopen(url, timeout=_PROBE_SECONDS) as answer:
            return read_health(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return read_health(error.read())
    except OSError:
        return Probe(ready=False, problem="does not answer")


def read_health(body: bytes) -> Probe:
    """The answer's meaning: ``ready`` and ``progressing``, and ``problem`` where it or one of its parts gives one."""
    try:
        answer: Any = json.loads(body)
        ready, progressing = bool(answer["ready"]), bool(answer["progressing"])
    except (ValueError, KeyError, TypeError):
        return Probe(ready=False, problem="answers with something that is no health report")
    problems = [answer, *(value for value in answer.values() if isinstance(value, dict))]
    said = next((str(each["problem"]) for each in problems if each.get("problem")), "")
    if not ready:
        return Probe(ready=False, problem=said or "is not ready")
    return Probe(ready=True, problem=said or ("" if progressing else "makes no progress"))


def answers_ready(url: str) -> Ready:
    """Ready once ``/health`` says so."""
    return lambda: probe(url).ready


def pings(url: str) -> bool:
    """Whether a ClickHouse server answers on this URL."""
    try:
        with urllib.request.urlopen(url.rstrip("/") + "/ping", timeout=_PROBE_SECONDS) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
