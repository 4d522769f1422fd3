"""Who may import whom, read from the source: one way between packages, clients at the edge, a core without either."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import pytest

ROOT: Final = Path(__file__).parents[1]

MAY_IMPORT: Final = {
    "meterline_schemas": set[str](),
    "meterline": {"meterline_schemas"},
    "meterline_streams": {"meterline_schemas"},
    "meterline_sinks": {"meterline_schemas"},
    "meterline_api": {"meterline_schemas", "meterline"},
    "meterline_deploy": {"meterline_schemas", "meterline", "meterline_streams", "meterline_sinks", "meterline_api"},
    "examples": {"meterline_schemas", "meterline", "meterline_deploy"},
}
FOLDERS: Final = {
    "meterline_schemas": "schemas",
    "meterline": "producers",
    "meterline_streams": "stream_processors",
    "meterline_sinks": "sinks",
    "meterline_api": "api",
    "meterline_deploy": "deploy",
    "examples": ".",
}
OURS: Final = {*MAY_IMPORT, "tests"}

BASE: Final = {"confluent_kafka": "confluent-kafka", "msgspec": "msgspec"}  # all that the SDK may stand on
BESIDES: Final = {  # what it may also stand on, in modules for just that
    "meterline.http_transport": {"urllib3"},
    "meterline.middleware.django": {"asgiref", "django"},
    "meterline.pytest_plugin": {"pytest"},
}

# A client that is imported in one more place is one more place to change with it: add it here on purpose or not at all.
CLIENTS: Final = {
    ("confluent_kafka",): {
        "meterline_schemas.kafka_client",
        "meterline_schemas.kafka_log",
        "meterline_schemas.kafka_tail",
        "meterline_schemas.audit.log",
        "meterline.connection",
        "meterline.ingest",
        "meterline.kafka_transport",
        "meterline_streams.forward",
        "meterline_streams.partition",
        "meterline_streams.preflight",
        "meterline_sinks.fatal",
        "meterline_sinks.kafka",
        "meterline_sinks.notifier.kafka",
        "meterline_sinks.notifier.ledger",
        "meterline_api.event_life.origins",
        "meterline_api.offsets",
        "meterline_api.announce",
        "meterline_api.quotas.publisher",
        "meterline_deploy.cluster",
        "meterline_deploy.reconcile.kafka",
    },
    ("faust", "mode", "aiokafka"): {
        "meterline_streams.__main__",
        "meterline_streams.app",
        "meterline_streams.credentials",
        "meterline_streams.transport",
    },
    ("clickhouse_connect",): {
        "meterline_sinks.clickhouse",
        "meterline_api.clickhouse",
        "meterline_deploy.reconcile.warehouse",
    },
    ("django", "asgiref"): {"meterline.middleware.django"},
    ("urllib3",): {"meterline.http_transport"},
    ("httpcore",): {"meterline_sinks.notifier.network", "meterline_sinks.notifier.webhook"},
    ("aiosmtplib",): {"meterline_sinks.notifier.smtp"},
    ("boto3", "botocore"): {"meterline_api.billing.exporting.s3", "meterline_api.storage.s3"},
    ("stripe",): {"meterline_api.billing.stripe.client", "meterline_api.billing.stripe.signature"},
    ("apscheduler",): {
        "meterline_api.billing.jobs.scheduler",
        "meterline_api.storage.cron",
        "meterline_api.storage.job",
    },
    ("chdb",): {"meterline_deploy.embedded.clickhouse.engine"},
    ("fpdf",): {"meterline_api.billing.rendering.pdf"},
    ("jinja2",): {
        "meterline_api.billing.pricelist.html",
        "meterline_api.billing.rendering.templates",
    },
    ("pyarrow",): {"meterline_api.formats.parquet", "meterline_deploy.emit.parquet_table"},
}

PURE: Final = (
    "meterline_schemas.catalog",
    "meterline_schemas.catalog.changes",
    "meterline_schemas.audit.chain",
    "meterline_schemas.audit.redact",
    "meterline_schemas.currencies",
    "meterline_schemas.denied",
    "meterline_schemas.periods",
    "meterline_schemas.rating",
    "meterline_schemas.replaying",
    "meterline_schemas.kafka_words",
    "meterline_streams.plain",
    "meterline_streams.security",
    "meterline_streams.judge",
    "meterline_streams.dedupe",
    "meterline_streams.windows",
    "meterline_streams.memory",
    "meterline_streams.outputs",
    "meterline_sinks.batch",
    "meterline_sinks.late",
    "meterline_schemas.delivery",
    "meterline_sinks.notifier.audience",
    "meterline_sinks.notifier.outcome",
    "meterline_sinks.notifier.index",
    "meterline_sinks.notifier.signature",
    "meterline_sinks.notifier.addresses",
    "meterline_sinks.notifier.mail",
    "meterline_sinks.notifier.smtp_url",
    "meterline_deploy.emit.mapping",
    "meterline_deploy.emit.times",
    "meterline_api.billing.exceptions.closing",
    "meterline_api.billing.exceptions.found",
    "meterline_api.billing.exceptions.payments",
    "meterline_api.billing.exceptions.pushes",
    "meterline_api.billing.exceptions.setup",
    "meterline_api.billing.exceptions.usage",
    "meterline_api.billing.exporting.as_of",
    "meterline_api.billing.exporting.columns",
    "meterline_api.billing.exporting.documents",
    "meterline_api.billing.jobs.due",
    "meterline_schemas.catalog.metering",
    "meterline_sinks.item_rows",
    "meterline_sinks.job_rows",
    "meterline_api.billing.jobs.listing",
    "meterline_api.billing.payments.events",
    "meterline_api.billing.payments.listing",
    "meterline_api.billing.payments.notices",
    "meterline_api.billing.pricelist.lists",
    "meterline_api.billing.pricing.bill",
    "meterline_api.billing.pricing.daily",
    "meterline_api.billing.pricing.exchange",
    "meterline_api.billing.pricing.money",
    "meterline_api.billing.pricing.prices",
    "meterline_api.billing.pricing.projection",
    "meterline_api.billing.pricing.rating",
    "meterline_api.billing.pricing.segments",
    "meterline_api.billing.rendering.csv",
    "meterline_api.billing.rendering.json",
    "meterline_api.billing.rendering.sheet",
    "meterline_api.billing.rendering.words",
    "meterline_api.billing.revenue.months",
    "meterline_api.billing.revenue.recurring",
    "meterline_api.billing.stripe.answers",
    "meterline_api.billing.stripe.days",
    "meterline_api.billing.stripe.errors",
    "meterline_api.billing.stripe.expressing",
    "meterline_api.billing.stripe.items.plan",
    "meterline_api.billing.stripe.plan",
    "meterline_api.billing.stripe.terms",
    "meterline_api.billing.stripe.totals",
    "meterline_api.documents.costs",
    "meterline_api.document1.report",
    "meterline_api.document2.features",
    "meterline_api.document2.forms",
    "meterline_api.document2.reported",
    "meterline_api.document3.forms",
    "meterline_api.document4.dashboard.board",
    "meterline_api.document4.dashboard.chart",
    "meterline_api.document4.dashboard.days",
    "meterline_api.document4.dashboard.links",
    "meterline_api.document4.forms",
    "meterline_api.document4.names",
    "meterline_api.document5.forms",
    "meterline_api.event_life.life",
    "meterline_api.event_life.statements",
    "meterline_deploy.audit.verdict",
    "meterline_api.audit.listing",
    "meterline_api.exports.bounds",
    "meterline_api.exports.dialect",
    "meterline_api.exports.folds",
    "meterline_api.exports.marks",
    "meterline_api.exports.range",
    "meterline_api.exports.selection",
    "meterline_api.exports.statement",
    "meterline_api.exports.tables",
    "meterline_api.fields",
    "meterline_api.formats.negotiation",
    "meterline_api.formats.table",
    "meterline_api.formats.text",
    "meterline_api.documents.instants",
    "meterline_api.numbers",
    "meterline_api.notifications.deliveries",
    "meterline_api.notifications.listing",
    "meterline_api.opaque",
    "meterline_api.openmeter.definitions",
    "meterline_api.openmeter.meters",
    "meterline_api.openmeter.paths",
    "meterline_api.openmeter.query",
    "meterline_api.usage.filters",
    "meterline_api.usage.parts",
    "meterline_api.usage.query",
    "meterline_api.usage.events",
    "meterline_api.usage.ranking",
    "meterline_api.usage.statement",
    "meterline_api.usage.stretches",
    "meterline_api.usage.windows",
    "meterline_api.rejected.counting",
    "meterline_api.rejected.statements",
    "meterline_api.quotas.check",
    "meterline_api.quotas.counters",
    "meterline_api.quotas.recount",
    "meterline_api.storage.findings",
    "meterline_api.storage.place",
    "meterline_api.storage.readings",
    "meterline_api.storage.unit",
)
PURE_PACKAGES: Final = {"msgspec", "numpy", "pydantic", "xxhash"}
IMPURE: Final = {"asyncio", "importlib", "io", "logging", "multiprocessing", "os", "pathlib", "random", "secrets"} | {
    "shutil", "signal", "socket", "subprocess", "sys", "tempfile", "threading", "time", "urllib.request", "uuid",
}  # fmt: skip
CLOCKS: Final = {"now", "utcnow", "today", "time", "time_ns", "monotonic", "perf_counter"}


class Import(NamedTuple):
    """``lasting`` is False where it stands under ``if TYPE_CHECKING`` and never happens."""

    name: str
    lasting: bool


@cache
def modules() -> dict[str, Path]:
    """Every module of ours, by its name."""
    found = {}
    for package, folder in FOLDERS.items():
        for path in sorted((ROOT / folder / package).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(modules()[module].read_text())


@cache
def imports(module: str) -> frozenset[Import]:
    """Everything that a module names in an import, wherever it stands; ``from a import b`` as ``a`` and ``a.b``."""
    package = module if modules()[module].name == "__init__.py" else module.rpartition(".")[0]
    return frozenset(_imports(tree(module), package, lasting=True))


def _imports(node: ast.AST, package: str, *, lasting: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.Import(names):
                yield from (Import(alias.name, lasting) for alias in names)
            case ast.ImportFrom(name, names, level):
                above = package.split(".")[: package.count(".") + 2 - (level or 0)] if level else []
                base = ".".join([*above, *([name] if name else [])])
                yield Import(base, lasting)
                yield from (Import(f"{base}.{alias.name}", lasting) for alias in names)
            case ast.If(ast.Name("TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"), body, orelse):
                for branch, stays in ((body, False), (orelse, lasting)):
                    yield from _imports(ast.Module(branch, []), package, lasting=stays)
            case _:
                yield from _imports(child, package, lasting=lasting)


def top(name: str) -> str:
    return name.partition(".")[0]


def reached(*roots: str) -> dict[str, str]:
    """The modules of ours that importing ``roots`` can load, and by which way each is reached."""
    way = {root: root for root in roots}
    waiting = list(roots)
    while waiting:
        module = waiting.pop()
        named = {found.name for found in imports(module) if found.lasting} | {module}
        for name in sorted(named):
            parts = name.split(".")
            for length in range(1, len(parts) + 1):  # a package is loaded before what is in it
                loaded = ".".join(parts[:length])
                if loaded in modules() and loaded not in way:
                    way[loaded] = f"{way[module]} → {loaded}"
                    waiting.append(loaded)
    return way


def foreign(module: str) -> set[str]:
    """Packages that a module loads and that are neither ours nor Python's."""
    named = {top(found.name) for found in imports(module) if found.lasting}
    return named - OURS - sys.stdlib_module_names


def test_every_package_is_looked_at() -> None:
    assert {top(name) for name in modules()} == set(MAY_IMPORT)
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    shipped = pyproject["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert set(shipped) == {f"{FOLDERS[package]}/{package}" for package in MAY_IMPORT if package != "examples"}


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_between_packages_go_one_way(package: str) -> None:
    wrong = [
        f"{module} imports {found.name}"
        for module in modules()
        if top(module) == package
        for found in imports(module)
        if top(found.name) in OURS - {package} - MAY_IMPORT[package]
    ]
    assert not wrong, "\n".join(wrong)


def test_the_base_install_stands_on_its_two_packages_alone() -> None:
    sdk = [module for module in modules() if top(module) == "meterline"]
    assert "meterline_schemas.event" in reached("meterline")
    assert "pydantic" in foreign("meterline_schemas.settings"), "it must stay out of reach of the SDK"
    wrong = [
        f"{way} imports {name}"
        for module, way in reached(*sdk).items()
        for name in foreign(module) - BASE.keys() - BESIDES.get(module, set())
    ]
    assert not wrong, "\n".join(wrong)
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert {text.partition(">")[0] for text in declared} == set(BASE.values())


@pytest.mark.parametrize("clients", CLIENTS, ids="+".join)
def test_each_client_is_imported_where_it_is_listed_and_nowhere_else(clients: tuple[str, ...]) -> None:
    found = {
        module
        for module in modules()
        if top(module) != "examples" and any(top(each.name) in clients for each in imports(module))
    }
    assert found == CLIENTS[clients]


@pytest.mark.parametrize("module", PURE)
def test_the_core_knows_no_client_no_settings_and_no_clock(module: str) -> None:
    wrong = []
    for name, way in reached(module).items():
        python = {n for found in imports(name) if found.lasting for n in (top(found.name), found.name)} & IMPURE
        wrong += [f"{way} imports {each}" for each in sorted((foreign(name) - PURE_PACKAGES) | python)]
        wrong += [
            f"{way}, line {node.lineno}: reads a clock (.{node.attr})"
            for node in ast.walk(tree(name))
            if isinstance(node, ast.Attribute) and node.attr in CLOCKS
        ]
    assert not wrong, "\n".join(wrong)


def test_imports_by_a_computed_name_are_known() -> None:
    """They are out of sight of every other test here."""
    found = {
        module
        for module in modules()
        for node in ast.walk(tree(module))
        if (isinstance(node, ast.Attribute) and node.attr == "import_module")
        or (isinstance(node, ast.Name) and node.id in ("__import__", "import_module"))
    }
    assert found == {"meterline_deploy.cli"}
