"""What processes of ours import, imported once: a process that is forked from here does not import it again.

Of our own modules only those of the API and of the command line, which are many. The others are imported anew; the
stream worker's failpoints read the environment as they are imported.
"""

import gc
import os
from importlib import import_module

from prometheus_client import REGISTRY

OTHERS = (
    *("aiokafka", "aiosmtplib", "faust", "faust.transport.drivers.aiokafka", "httpcore", "rich.markdown"),
    *("typer.rich_utils", "uvicorn.main", "wsgiref.simple_server", "confluent_kafka.admin", "msgspec.json"),
    *("faust.app.base", "faust.models.record", "faust.web.views", "numpy.typing", "statistics", "venusian", "xxhash"),
    "pytest",  # the file that pytest was started by, which every child imports as its main module
)
OURS = ("meterline_api.app", "meterline_deploy.cli", "meterline_schemas.health")

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # a process with threads must not be forked
_of_libraries = set(REGISTRY._collector_to_names)
for name in (*OTHERS, *OURS):
    import_module(name)
import_module("meterline_deploy.cli").build()
gc.freeze()  # what is here stays: no child needs to look through it


def forget_metrics() -> None:
    """The numbers that only the API tells are not another process's to tell."""
    for collector in set(REGISTRY._collector_to_names) - _of_libraries:
        REGISTRY.unregister(collector)
