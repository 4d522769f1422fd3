"""Results as lines on the terminal and as ``docs/benchmarks.md``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.benchmarks.results import Result, Store
from tests.benchmarks.targets import TARGETS

TITLES: Mapping[str, str] = {
    "stream": "Stream worker",
    "limits": "Quotas and thresholds",
    "faust": "Vanilla Faust",
    "quix": "Quix Streams",
    "kstreams": "Kafka Streams, exactly once",
    "sdk": "SDK, throughput",
    "calls": "SDK, calls",
    "middleware": "Middleware",
    "ingest": "Events over HTTP",
    "memory": "Memory and restart",
    "sink": "Sink",
    "e2e": "End to end",
    "freshness": "Freshness",
    "webhook": "Alerts",
    "quota": "Quota checks",
    "export": "Exports",
    "reports": "Usage over HTTP",
    "billing": "Month close and push",
}

_WHAT: Mapping[str, str] = {
    "stream": "One `meterline_streams` process with the settings it has by default, on a topic that is full already: "
    "records of 100 events, 4 partitions, 1,000 tenants × 3 metrics, times within the last hour, 5 % repeated ids. "
    "It dedupes, counts, and writes every verdict, total and its state in a transaction twice a second.",
    "limits": "The stream worker as above, on events of so many tenants that each of 10,000 pairs of tenant and metric "
    "has a quota and a threshold of its own; and on the same events without any. Every event is counted against a "
    "quota; about half of the pairs reach their steps. Both in turns, so that both see the machine as it is.",
    "faust": "`app.Table(…).tumbling(1h)`, count and sum by tenant and metric, an event a record, `memory://`.",
    "quix": "Tumbling 1 h, count and sum by tenant and metric, an event a record, RocksDB state, at_least_once.",
    "kstreams": "Count and sum by tenant, metric and hour after dedupe by id, both in RocksDB with changelogs, "
    "`exactly_once_v2`, one thread, warm.",
    "sdk": "`UsageProducer.track()` against `confluent_kafka.Producer.produce()` with the same client settings, each "
    "in a process of its own.",
    "calls": "An app that calls `track()` in a tight loop, each call timed; and one that fills its buffer while Kafka "
    "is away.",
    "middleware": "A FastAPI app that looks at a header and answers a little JSON, with `UsageMiddleware` and without, "
    "each under uvicorn in a process of its own, asked by the load generator hey as fast as it goes.",
    "memory": "A worker is given so many ids of so many pairs of tenant and metric, looked at, killed with SIGKILL and "
    "started again.",
    "sink": "One `meterline_sinks` process with the settings it has by default, on judged events that wait in Kafka, "
    "against bare inserts of the same bytes.",
    "e2e": "An app that tracks as fast as it can, Kafka, the stream worker, the sink and ClickHouse, all on this "
    "machine, until `usage_hourly` has every event.",
    "freshness": "An app that tracks 5,000 events a second, through the same processes.",
    "webhook": "The same, and the notifier beside it; ten times a second an event crosses a threshold of its tenant.",
    "quota": "The API's quota checks, with 10,000 quotas, thresholds and counters in memory.",
    "export": "All events as one file in each format, and the API's memory meanwhile beside that of a small file.",
    "ingest": "`POST /v1/events` of one API process: each request is answered once Kafka holds its events.",
    "reports": "`GET /v1/usage` over five weeks of events in ClickHouse, while stream worker and sink take in more.",
    "billing": "One API process with all tenants in its catalog plans the daily push to Stripe (`--dry-run`), closes "
    "their month, and hands out invoices; another one pushes to the Stripe stand-in.",
}

_HEAD = """# Benchmarks

Everything below was measured by one command on one machine, and every figure comes with a check that the work
behind it was right: a part whose check fails shows no figures.

    make bench                                        # all of it, about a quarter of an hour
    uv run python -m tests.benchmarks --only stream   # one part; its figures replace the ones here
    uv run python -m tests.benchmarks --quick         # tiny sizes, prints only: shows that it works, not how fast

The broker, ClickHouse and whatever is measured share the machine's cores; nothing is pinned. So ratios between parts of
one run travel better than events per second, and CPU seconds per million events travel best. The Kafka Streams project
is not part of this repository (`--kstreams DIR`); without it, Java or Maven that part is left out, and says so.
"""


def line(result: Result) -> str:
    """A part on one line."""
    title = TITLES[result.part]
    if result.skipped:
        return f"{title}: left out: {result.skipped}"
    if result.failed:
        return f"{title}: FAILED: {result.failed}"
    figures = "; ".join(f"{figure.label} {amount(figure.value, figure.unit)}" for figure in result.figures)
    return f"{title}, {result.events:,} events: {figures}. Check: {result.check}"


def targets_lines(store: Store, parts: Sequence[str]) -> list[str]:
    """The targets that these parts decide, a line each."""
    return [
        f"{what}: {measured} (target {wanted}: {verdict})"
        for what, measured, wanted, verdict in _targets(store, parts)
        if measured != "—" and wanted
    ]


def page(store: Store) -> str:
    parts = [_HEAD]
    if store.machine:
        parts.append("## Machine\n\n" + _table(["", ""], [[name, value] for name, value in store.machine.items()]))
    rows = [list(row) for row in _targets(store)]
    parts.append("## Targets\n\n" + _table(["what", "measured", "target", "met"], rows))
    for part, title in TITLES.items():
        result = store.results.get(part)
        parts.append(f"## {title}\n\n{_WHAT[part]}\n\n" + (_section(result) if result else "Not measured yet.\n"))
    return "\n".join(parts)


def amount(value: float, unit: str) -> str:
    """A value with three significant digits, or in whole numbers where it has more."""
    text = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{text}{unit}" if unit in ("×", "/s") else f"{text} {unit}".strip()


def _targets(store: Store, parts: Sequence[str] = tuple(TITLES)) -> list[tuple[str, str, str, str]]:
    """What, measured, target, and whether it is met, of targets that one of ``parts`` is part of."""
    rows = []
    for target in TARGETS:
        if not set(target.parts) & set(parts):
            continue
        value = target.measured(store)
        wanted = f"{target.sense} {amount(target.bound, target.unit)}" if target.sense else ""
        if value is None:
            rows.append((target.what, "—", wanted, ""))
            continue
        verdict = ("yes" if target.met(value) else "no") if target.sense else ""
        apart = "" if target.together(store) else " (of two runs)"
        rows.append((target.what, amount(value, target.unit) + apart, wanted, verdict))
    return rows


def _section(result: Result) -> str:
    made = f"Measured {result.run} with `{result.command}`.\n"
    if result.skipped:
        return f"Left out: {result.skipped}.\n\n{made}"
    if result.failed:
        return f"Failed: {result.failed}.\n\n{made}"
    rows = [["events", f"{result.events:,}"]]
    rows += [[figure.label, amount(figure.value, figure.unit)] for figure in result.figures]
    pieces = [_table(["", ""], rows), *(table + "\n" for table in result.tables), f"Check: {result.check}.\n"]
    pieces += [f"Note: {note}.\n" for note in result.notes]
    return "\n".join([*pieces, made])


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "".join("| " + " | ".join(row) + " |\n" for row in lines)
