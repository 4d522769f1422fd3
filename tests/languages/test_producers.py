"""Events that Node, Go, Java and kcat send (``examples/producers``) lie where the SDK's would, and count."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from meterline_deploy.embedded.jars import jars
from meterline_schemas.partitioning import partition_of
from tests.support import cluster
from tests.support.recount import lines
from tests.support.streams import Streams
from tests.support.workload import METRICS

ROOT: Final = Path(__file__).parents[2]
PROGRAMS: Final = ROOT / "examples" / "producers"
PARTITIONS: Final = 8
TENANTS: Final = (
    *(f"tenant-{number}" for number in range(100)),
    *("Bücher GmbH", "日本電気", "Ελλάς", "🦊", "e\u0301", "naïve-☕-" + "x" * 200, "a", "ab", "abc", "a.b/c:d?e=f&g"),
    *(f"организация {number}" for number in range(30)),
)

Command = Callable[[Path], list[str]]
PREFIXES: Final = ("/usr/local/go/bin",)  # where Go's own installer puts it, on PATH or not


def tool(name: str) -> str:
    """The path of a program; without it the test is skipped, or fails where METERLINE_TEST_LANGUAGES names it."""
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *PREFIXES]))
    if found is None:
        reason = f"{name} is not installed"
        if name in os.environ.get("METERLINE_TEST_LANGUAGES", "").split():
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def run(command: list[str], folder: Path, **environment: str) -> None:
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"{' '.join(command[:4])} …\n{done.stdout[-2000:]}{done.stderr[-3000:]}"


def node(folder: Path) -> list[str]:
    node, npm = tool("node"), tool("npm")
    copy = shutil.copytree(PROGRAMS / "node", folder / "node", ignore=shutil.ignore_patterns("node_modules"))
    run([npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"], copy)
    return [node, str(copy / "send.js")]


def go(folder: Path) -> list[str]:
    program = folder / "send"
    run([tool("go"), "build", "-mod=readonly", "-o", str(program), "."], PROGRAMS / "go")
    return [str(program)]


def java(folder: Path) -> list[str]:
    # the runtime that comes with the embedded Kafka has no compiler
    java = tool("java")
    modules = subprocess.run([java, "--list-modules"], capture_output=True, text=True, timeout=60, check=True).stdout
    if "jdk.compiler@" not in modules:
        tool("java with a compiler (a JDK)")
    return [java, "-cp", f"{jars(lambda _line: None)}/*", str(PROGRAMS / "java" / "Send.java")]


def kcat(folder: Path) -> list[str]:
    tool("kcat")
    return ["sh", str(PROGRAMS / "kcat" / "send.sh")]


@pytest.mark.parametrize("program", [node, go, java, kcat], ids=lambda program: program.__name__)
def test_events_of_other_languages_lie_where_the_sdk_puts_them_and_count(
    program: Command, kafka: str, prefix: str, tmp_path: Path
) -> None:
    command = program(tmp_path)
    with Streams(kafka, prefix, tmp_path, PARTITIONS) as streams:
        streams.start("one")
        settings = {"METERLINE_KAFKA": kafka, "METERLINE_TOPIC_PREFIX": prefix}
        run([*command, *TENANTS], tmp_path, **settings)
        found = list(cluster.read_all(kafka, prefix + "usage.events"))
        for message in found:
            (line,) = lines(message.value())
            tenant = json.loads(line)["tenant_id"]
            assert message.key() == tenant.encode()
            assert message.partition() == partition_of(tenant, PARTITIONS), tenant
            assert message.headers() is None
            streams.expected.add(line, METRICS)
        assert sorted(tenant for tenant, _id in streams.expected.ids) == sorted(TENANTS)
        streams.drain()
        streams.check_exact()
        # nothing was forwarded
        assert len(list(cluster.read_all(kafka, prefix + "usage.events"))) == len(TENANTS)


def test_the_tenants_reach_every_partition() -> None:
    assert {partition_of(tenant, PARTITIONS) for tenant in TENANTS} == set(range(PARTITIONS))


@pytest.mark.parametrize(
    ("language", "file"),
    [("js", "node/send.js"), ("go", "go/main.go"), ("java", "java/Send.java"), ("sh", "kcat/send.sh")],
)
def test_what_the_page_shows_stands_in_the_program(language: str, file: str) -> None:
    page = (ROOT / "docs" / "producing.md").read_text().partition("## Without the SDK")[2].partition("\n## ")[0]
    shown = re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert shown, f"no {language} in the section"
    program = (PROGRAMS / file).read_text()
    plain = re.sub(r"^[ \t]+", "", program, flags=re.MULTILINE)
    for snippet in shown:
        assert re.sub(r"^[ \t]+", "", snippet, flags=re.MULTILINE) in plain, snippet
    assert f"examples/producers/{file}" in page
