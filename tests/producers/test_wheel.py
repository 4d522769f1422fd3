"""What a customer gets: the wheel in a bare virtual environment, on every Python that can be had, typed and light."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from email import message_from_bytes
from pathlib import Path
from typing import Final

import pytest

from tests.test_imports import modules, reached

ROOT: Final = Path(__file__).parents[2]
BASE: Final = {"confluent-kafka", "msgspec", "meterline"}
# confluent-kafka asks for it on Python 3.10
NEEDED_BY_BASE: Final = {"typing-extensions"}
HEAVY: Final = (
    "asyncio",
    "multiprocessing",
    "urllib.request",
    "http.client",
    "sqlite3",
    "unittest",
    "pydantic",
    "urllib3",
    "fastapi",
)

LOADED: Final = f"""
import sys
import meterline
folders = [path for path in sys.path if path.endswith("site-packages")]
print(*sorted({{
    name.partition(".")[0] for name, module in sys.modules.items()
    if (getattr(module, "__file__", None) or "").startswith(tuple(folders))
}}))
print(*[name for name in {HEAVY!r} if name in sys.modules])
"""

USED: Final = """
from datetime import datetime, timezone
from decimal import Decimal

from meterline import InvalidUsageError, UsageProducer

with UsageProducer("127.0.0.1:1", source="shop") as usage:
    usage.track("acme", "orders", Decimal("1.50"), timestamp=datetime(2026, 11, 1, tzinfo=timezone.utc), id="o-1")
    usage.track("acme", "orders", properties={"region": "eu"})
    for wrong, error in ((1.5, TypeError), ("x", InvalidUsageError)):
        try:
            usage.track("acme", "orders", wrong)
        except error:
            pass
        else:
            raise SystemExit(f"{wrong!r} was taken")
    assert usage.stats().pending == 2
    usage.close(0)
print("tracked")
"""

TYPED: Final = """
from datetime import datetime, timezone
from decimal import Decimal

from meterline import Limits, Problem, Stats, UsageProducer


def told(problem: Problem) -> None:
    print(problem.kind, problem.events)


usage = UsageProducer("kafka:9092", source="shop", limits=Limits(max_events=10), on_error=told)
id: str = usage.track("acme", "orders", Decimal("1.5"), timestamp=datetime.now(timezone.utc), properties={"n": 1})
stats: Stats = usage.stats()
left: int = usage.flush(1.0)
"""


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    names = ("PYTHONPATH", "VIRTUAL_ENV", "METERLINE_KAFKA")
    clean = {name: value for name, value in os.environ.items() if name not in names}
    return subprocess.run(
        [str(part) for part in command],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def uv(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    done = run(ROOT / "scripts" / "uv", *arguments)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    uv("build", "--quiet", "--wheel", "--out-dir", folder, ROOT)
    (built,) = folder.glob("*.whl")
    return built


def bare(interpreter: str | Path, folder: Path, wheel: Path) -> Path:
    """The Python of a new virtual environment in which the wheel and its base dependencies are, nothing else."""
    uv("venv", "--quiet", "--python", interpreter, folder)
    python = folder / "bin" / "python"
    uv("pip", "install", "--quiet", "--python", python, wheel)
    return python


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bare(sys.executable, tmp_path_factory.mktemp("bare") / "venv", wheel)


def interpreter(version: str) -> Path | None:
    """A Python of that version: on PATH, as pyenv has it, or the one that a variable names."""
    named = os.environ.get(f"METERLINE_TEST_PYTHON{version.replace('.', '')}")
    candidates = [Path(named)] if named else []
    candidates += sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    candidates += [Path(folder) / f"python{version}" for folder in os.get_exec_path()]
    for candidate in candidates:
        if candidate.is_file():
            asked = run(candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2])")
            if asked.stdout.strip() == version:
                return candidate
    return None


def test_the_base_install_brings_two_packages(python: Path) -> None:
    listed = uv("pip", "list", "--quiet", "--format", "freeze", "--python", python).stdout
    installed = {line.partition("==")[0].partition(" @")[0] for line in listed.splitlines()}
    assert installed >= BASE
    assert installed - BASE <= NEEDED_BY_BASE


def test_importing_the_sdk_loads_its_two_packages_and_nothing_heavy(python: Path) -> None:
    done = run(python, "-W", "error", "-c", LOADED)
    assert done.returncode == 0, done.stderr
    loaded, heavy = done.stdout.splitlines()
    assert set(loaded.split()) <= {"confluent_kafka", "msgspec", "meterline", "meterline_schemas", "typing_extensions"}
    assert heavy == ""


@pytest.mark.parametrize("version", ["3.10", "3.11", "3.12", "3.13", "3.14"])
def test_the_sdk_runs_on_every_python_that_it_promises(version: str, wheel: Path, tmp_path: Path) -> None:
    found = interpreter(version)
    if found is None:
        pytest.skip(f"no Python {version} here; METERLINE_TEST_PYTHON{version.replace('.', '')} can name one")
    done = run(bare(found, tmp_path / "venv", wheel), "-W", "error", "-c", USED)
    assert (done.returncode, done.stdout) == (0, "tracked\n"), done.stderr


def test_the_servers_cannot_be_installed_where_they_do_not_run(wheel: Path, tmp_path: Path) -> None:
    """The extra needs, on every Python, a version of numpy that 3.10 does not have: refused before it is imported."""
    with zipfile.ZipFile(wheel) as file:
        (name,) = (name for name in file.namelist() if name.endswith("/METADATA"))
        metadata = message_from_bytes(file.read(name))
    assert metadata["Requires-Python"] == ">=3.10"
    wanted = [text.partition(";") for text in metadata.get_all("Requires-Dist", [])]
    (numpy,) = (
        name for name, _, marker in wanted if name.startswith("numpy") and marker.strip() == "extra == 'server'"
    )
    (tmp_path / "requirements.in").write_text(numpy)
    compiling = (ROOT / "scripts" / "uv", "pip", "compile", "--quiet", "--no-deps", tmp_path / "requirements.in")
    refused = run(*compiling, "--python-version", "3.10")
    assert refused.returncode != 0
    assert "Python>=3.11" in refused.stderr
    assert run(*compiling, "--python-version", "3.11").returncode == 0


def test_all_that_an_app_can_load_is_checked_for_the_oldest_python() -> None:
    sdk = [module for module in modules() if module.partition(".")[0] == "meterline"]
    loaded = {str(modules()[name].relative_to(ROOT)) for name in reached(*sdk)}
    ruff = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]
    checked = {
        path
        for pattern, version in ruff["per-file-target-version"].items()
        if version == "py310"
        for path in expanded(pattern)
    }
    assert loaded == checked


def expanded(pattern: str) -> set[str]:
    """The files that a pattern names, ``{a,b}`` being one or the other."""
    before, brace, rest = pattern.partition("{")
    inside, _, after = rest.partition("}")
    globs = [before + name + after for name in inside.split(",")] if brace else [pattern + "/*.py"]
    return {str(path.relative_to(ROOT)) for glob in globs for path in ROOT.glob(glob)}


def mypy(python: Path, folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """A customer's module under mypy --strict, against the package as it is installed."""
    (folder / "shop.py").write_text(text)
    (folder / "mypy.ini").write_text("[mypy]\nstrict = True\n")
    against: list[str | Path] = ["--python-executable", python, "--cache-dir", folder / "cache"]
    return run(sys.executable, "-m", "mypy", "--config-file", folder / "mypy.ini", *against, folder / "shop.py")


def test_a_customers_strictly_typed_code_is_understood(python: Path, tmp_path: Path) -> None:
    done = mypy(python, tmp_path, TYPED)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_float_quantity_is_a_type_error_before_it_runs(python: Path, tmp_path: Path) -> None:
    done = mypy(python, tmp_path, TYPED + 'usage.track("acme", "orders", 1.5)\n')
    assert done.returncode == 1
    assert 'incompatible type "float"' in done.stdout
