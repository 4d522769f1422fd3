"""The SDK stands on confluent-kafka and msgspec alone: that is all that a customer's app gets from us."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
from importlib.machinery import PathFinder

class OnlyBase(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        spec = super().find_spec(name, path, target)
        if spec is not None and spec.origin and "site-packages" in spec.origin:
            if name.partition(".")[0] not in ("confluent_kafka", "msgspec"):
                raise ModuleNotFoundError(f"not a base dependency: {name}", name=name)
        return spec

sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not PathFinder] + [OnlyBase]
from meterline import UsageProducer
import meterline.ingest
producer = UsageProducer("127.0.0.1:1")
producer.track("t", "m", properties={"a": 1})
assert producer.stats().pending == 1
producer.close(0)
for name in %r:
    assert name not in sys.modules, name
print("ok")
"""


def test_the_sdk_imports_nothing_but_its_base_dependencies() -> None:
    server_only = ("pydantic", "fastapi", "clickhouse_connect", "faust", "prometheus_client", "httpx")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM % (server_only,)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "ok\n", done.stderr
    assert done.returncode == 0


def test_the_blocker_of_this_test_blocks() -> None:
    program = (PROGRAM % ((),)).replace("from meterline import", "import httpx\nfrom meterline import")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert "not a base dependency: httpx" in done.stderr
