"""hey, the load generator: built once, and what it saw of each request."""

from __future__ import annotations

import csv
import io
import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from meterline_deploy.folders import cache_folder
from tests.benchmarks.cluster import Running
from tests.benchmarks.measure import Sampler
from tests.benchmarks.results import SkippedError

HEY: Final = "github.com/rakyll/hey"
VERSION: Final = "v0.1.4"
SECONDS: Final = 300


@dataclass(frozen=True)
class Load:
    """``waits`` are the seconds of each answered request; ``cpu`` is what the server used for all."""

    waits: list[float]
    statuses: list[int]
    seconds: float
    cpu: float

    @property
    def successes(self) -> int:
        return sum(200 <= status < 300 for status in self.statuses)

    @property
    def rate(self) -> float:
        return len(self.waits) / self.seconds


def ask(
    hey: Path,
    url: str,
    server: Running,
    *,
    requests: int,
    connections: int,
    headers: Mapping[str, str],
    body: Path | None = None,
    rate: float = 0.0,
) -> Load:
    """``requests`` GETs or, with a JSON ``body``, POSTs, over connections that stay open.

    With ``rate`` each connection sends so many a second at most; without it sends the next when one is answered.
    """
    more: Sequence[str] = () if body is None else ("-m", "POST", "-D", str(body), "-T", "application/json")
    paced: Sequence[str] = () if not rate else ("-q", str(rate))
    named = [word for name, value in headers.items() for word in ("-H", f"{name}: {value}")]
    with Sampler(server=server.pid) as sampler:
        began = time.time()
        done = subprocess.run(
            [str(hey), "-n", str(requests), "-c", str(connections), "-o", "csv", *named, *more, *paced, url],
            capture_output=True, text=True, timeout=SECONDS, check=True,
        )  # fmt: skip
        ended = time.time()
        server.check()
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    waits = [float(row["response-time"]) for row in rows]
    last = max(float(row["offset"]) + wait for row, wait in zip(rows, waits, strict=True))
    return Load(waits, [int(row["status-code"]) for row in rows], last, sampler.cpu("server", began, ended))


def load_generator() -> Path:
    """hey: on the path, or built into the cache by Go.

    Raises:
        SkippedError: neither is possible.
    """
    found = shutil.which("hey")
    if found is not None:
        return Path(found)
    folder = cache_folder() / f"hey-{VERSION}"
    if not (folder / "hey").exists():
        go = shutil.which("go")
        if go is None:
            raise SkippedError("neither hey, the load generator, nor Go to build it with is on the path")
        built = subprocess.run(
            [go, "install", f"{HEY}@{VERSION}"],
            env={**os.environ, "GOBIN": str(folder)}, capture_output=True, text=True, timeout=SECONDS, check=False,
        )  # fmt: skip
        if built.returncode:
            raise SkippedError(f"hey, the load generator, could not be built: {' '.join(built.stderr.split())[-300:]}")
    return folder / "hey"
