"""What the pages say exists does: tests, files, commands, settings; and the project speaks of itself only."""

from __future__ import annotations

import ast
import importlib
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest
from pydantic_settings import BaseSettings

from meterline_deploy.cli import COMMANDS

ROOT: Final = Path(__file__).parents[1]
REQUIREMENTS: Final = ROOT / "docs" / "requirements.md"
# things that the requirement documents name; contradictions between them, decisions, and what analysts and finance need
ROWS: Final = {"": 301, "C": 29, "D": 18, "A": 11, "F": 13}
NUMBERS = re.compile(r"([A-Z]?)(\d+)(?:–\1(\d+))?")

PACKAGES: Final = ("schemas", "producers", "stream_processors", "sinks", "api", "deploy")
FOLDERS: Final = (*PACKAGES, "tests", "examples", "docs", "scripts", ".ci")
PAGES: Final = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
SETTINGS: Final = (
    "meterline_schemas",
    "meterline_streams",
    "meterline_sinks",
    "meterline_sinks.notifier",
    "meterline_api",
    "meterline_api.storage",
    "meterline_api.billing.exporting",
    "meterline_api.billing.jobs",
    "meterline_api.billing.rendering",
    "meterline_api.billing.stripe",
)

FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^]]*]\(([^()\s]+)\)")
TEST = re.compile(r"\btests/[\w/]+\.py(?:::\w+)?")
TEST_FOLDER = re.compile(r"\btests/[a-z_]+(?:/[a-z_]+)*\b")
# at the start of code or of a line of it, after a pipe or inside $(…), settings in front of it or not
COMMAND = re.compile(r"(?:^|[`|;&(]) *(?:[A-Z_]+=\S+ +)*meterline ([a-z]+(?:, [a-z]+)*)", re.MULTILINE)
TARGET = re.compile(r"(?:^|[`|;&(]) *(?:[A-Z_]+=\S+ +)*make ([a-z]+)\b", re.MULTILINE)
VARIABLE = re.compile(r"\bMETERLINE_[A-Z0-9_]*[A-Z0-9]\b")

FOREIGN: Final = {
    "a path of one machine": re.compile(r"(?<![\w.])/(?:work|root|Users|home/(?!$|[{<]))/?\b"),
    "a registry of packages": re.compile(r"\bpypi\.|python[h]osted|\brepo1?\.maven|registry\.npm|--?index-url", re.I),
    "a tracker of work": re.compile(r"\b(?:issues?|tickets?|sessions?) ?(?:#|no\. ?)?\d|\bissue #", re.I),
    "a page that is not here": re.compile(r"\b(?:DESIGN|SETTLED|CHECKLIST|STYLE)\.md\b|\.\./shared\b"),
}


def page_id(path: Path) -> str:
    return str(path.relative_to(ROOT))


def rows() -> list[list[str]]:
    """The cells of every table row of the requirements page whose first cell is a number or a range of them."""
    lines = REQUIREMENTS.read_text().splitlines()
    table = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines if line.startswith("|")]
    return [cells for cells in table if NUMBERS.fullmatch(cells[0])]


def numbers(cell: str) -> list[tuple[str, int]]:
    """``C3–C5`` as ``("C", 3)``, ``("C", 4)`` and ``("C", 5)``."""
    found = NUMBERS.fullmatch(cell)
    assert found, cell
    letter, first, last = found.groups()
    return [(letter, number) for number in range(int(first), int(last or first) + 1)]


@cache
def functions(path: Path) -> set[str]:
    found = ast.walk(ast.parse(path.read_text()))
    return {node.name for node in found if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def files() -> Iterator[Path]:
    """Every file of the project that people wrote."""
    yield from (path for path in sorted(ROOT.iterdir()) if path.is_file() and path.name != "uv.lock")
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path


def source(*folders: str) -> str:
    return "\n".join(
        path.read_text()
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in (".py", ".sh", ".yaml", ".toml")
    )


def test_every_requirement_is_answered_exactly_once() -> None:
    counted = Counter(found for cells in rows() for found in numbers(cells[0]))
    wanted = {(letter, number) for letter, last in ROWS.items() for number in range(1, last + 1)}
    assert {found: times for found, times in counted.items() if times != 1} == {}
    assert set(counted) == wanted


def test_every_answer_names_a_test_or_says_planned() -> None:
    for cells in rows():
        number, asked, ours, shown = cells
        assert asked, number
        if ours.startswith("planned"):
            assert not shown, f"row {number} is planned and has a test: say what is there"
        elif not ours.startswith("none:"):
            assert TEST.search(shown), f"row {number} has no test"


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text()
    wrong = []
    for node in sorted(set(TEST.findall(text))):
        file, _, name = node.partition("::")
        path = ROOT / file
        if not path.is_file() or (name and name not in functions(path)):
            wrong.append(node)
    wrong += [name for name in set(TEST_FOLDER.findall(TEST.sub("", text))) if not (ROOT / name).is_dir()]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_link_leads_to_a_file(page: Path) -> None:
    targets = LINK.findall(FENCE.sub("", page.read_text()))
    wrong = [
        target
        for target in targets
        if not re.match(r"[a-z]+:|#", target) and not (page.parent / target.partition("#")[0]).exists()
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_command_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text()
    named = {word for words in COMMAND.findall(text) for word in words.split(", ")}
    assert named - set(COMMANDS) == set()
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(TARGET.findall(text)) - targets == set()


def test_commands_are_found_where_pages_name_them() -> None:
    found = COMMAND.findall(
        "`meterline up` and `A_B=c meterline x, y`\n$(meterline env)\nmeterline sql 'x' | meterline z"
    )
    assert found == ["up", "x, y", "env", "sql", "z"]
    assert COMMAND.findall("from meterline import UsageProducer; pip install meterline") == []
    assert {"up", "reconcile"} <= set(COMMAND.findall((ROOT / "README.md").read_text()))


@cache
def variables() -> set[str]:
    """Every ``METERLINE_*`` variable that something reads: of the settings, by their names, and those in the code."""
    for package in SETTINGS:
        importlib.import_module(f"{package}.settings")
    found: set[str] = set()
    waiting = BaseSettings.__subclasses__()
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        prefix = str(kind.model_config.get("env_prefix", ""))
        if prefix.startswith("METERLINE_"):
            found |= {(prefix + name).upper() for name in kind.model_fields}
    found |= set(VARIABLE.findall(source(*PACKAGES, "examples")))
    tests = {name for name in VARIABLE.findall(source("tests")) if name.startswith("METERLINE_TEST_")}
    return found | tests


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_variable_that_a_page_names_is_read_by_something(page: Path) -> None:
    assert "METERLINE_HORIZON" in variables()
    assert set(VARIABLE.findall(page.read_text())) - variables() == set()


def test_the_project_speaks_of_itself_only() -> None:
    lock = tomllib.loads((ROOT / "uv.lock").read_text())
    hosts = {re.sub(r"^https?://([^/]+).*", r"\1", registry) for registry in registries(lock)}
    assert hosts
    patterns = {**FOREIGN, "the registry of the lock": re.compile("|".join(re.escape(host) for host in hosts))}
    wrong = []
    for path in files():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            wrong += [f"{page_id(path)}:{number}: {what}" for what, pattern in patterns.items() if pattern.search(line)]
    assert not wrong, "\n".join(wrong)


def registries(lock: dict[str, object]) -> set[str]:
    packages = lock["package"]
    assert isinstance(packages, list)
    return {package["source"]["registry"] for package in packages if "registry" in package["source"]}


@pytest.mark.parametrize(
    "line",
    [
        "see /wo" + "rk/main",
        "open('/home" + "/me/x')",
        "as issue" + " 3 says",
        "(issue" + " #12)",
        "in session" + " 1",
        "https://pypi" + ".org/simple",
        "the DESIGN" + ".md",
    ],
)
def test_what_is_not_ours_to_say_is_found(line: str) -> None:
    assert any(pattern.search(line) for pattern in FOREIGN.values())


@pytest.mark.parametrize("line", ["a /workers path", "session_id=1", "the home/ of it", "issued 3 times", "x/work/y"])
def test_plain_words_are_left_alone(line: str) -> None:
    assert not any(pattern.search(line) for pattern in FOREIGN.values())
