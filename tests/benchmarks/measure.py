"""CPU and memory of processes over time, and percentiles. Times are seconds since the epoch."""

from __future__ import annotations

import bisect
import math
import threading
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import NamedTuple, Self

import psutil

INTERVAL = 0.05
MB = 1_000_000


class Sample(NamedTuple):
    at: float
    cpu: float  # user and system seconds since the process began
    rss: int


class Sampler:
    """Looks at each process twenty times a second, so that its use between any two instants is known afterwards."""

    def __init__(self, **pids: int) -> None:
        self._processes = {name: psutil.Process(pid) for name, pid in pids.items()}
        self._samples: dict[str, list[Sample]] = {name: [] for name in pids}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)

    def __enter__(self) -> Self:
        self._look()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        self._look()

    def cpu(self, name: str, start: float, end: float) -> float:
        """CPU seconds that a process used between two instants."""
        return self._cpu_at(name, end) - self._cpu_at(name, start)

    def peak_rss(self, name: str) -> int:
        """The most resident bytes seen."""
        return max(sample.rss for sample in self._samples[name])

    def _run(self) -> None:
        while not self._stop.wait(INTERVAL):
            self._look()

    def _look(self) -> None:
        for name, process in self._processes.items():
            try:
                times, rss = process.cpu_times(), process.memory_info().rss
            except psutil.Error:
                continue  # it ended; its samples so far stand
            self._samples[name].append(Sample(time.time(), times.user + times.system, rss))

    def _cpu_at(self, name: str, instant: float) -> float:
        samples = self._samples[name]
        after = bisect.bisect_left(samples, instant, key=lambda sample: sample.at)
        if after == 0:
            return samples[0].cpu
        if after == len(samples):
            return samples[-1].cpu
        left, right = samples[after - 1], samples[after]
        share = (instant - left.at) / (right.at - left.at)
        return left.cpu + share * (right.cpu - left.cpu)


def rss_of(pid: int) -> int:
    """Resident bytes of a process now."""
    return int(psutil.Process(pid).memory_info().rss)


def percentile(values: Sequence[float], percent: float) -> float:
    """The least value that at least ``percent`` of all do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def per_million(seconds: float, events: int) -> float:
    return seconds / events * 1_000_000


def machine(versions: Mapping[str, str]) -> dict[str, str]:
    """What a reader must know of the machine to compare."""
    return {
        "cores": str(psutil.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "processor": _processor(),
        **versions,
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return "not known"
