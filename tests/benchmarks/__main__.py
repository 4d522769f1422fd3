"""``python -m tests.benchmarks``: run the parts, print a line for each, write the page."""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
import shlex
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from meterline_deploy.embedded.jars import KAFKA_VERSION
from tests.benchmarks import report
from tests.benchmarks.cluster import ROOT, Bench, EndedError
from tests.benchmarks.measure import machine
from tests.benchmarks.parts import (
    billing,
    end_to_end,
    export,
    faust,
    freshness,
    ingest,
    kafka_streams,
    limits,
    memory,
    middleware,
    quix,
    quota,
    reports,
    sdk,
    sdk_calls,
    sink,
    stream,
    webhook,
)
from tests.benchmarks.results import CheckFailedError, Result, SkippedError, Store, load, save
from tests.benchmarks.sizes import FULL, QUICK, Sizes

PAGE = ROOT / "docs" / "benchmarks.md"

# those without ClickHouse come first: once started it works on in the background
PARTS: Mapping[str, Callable[[Bench, Sizes], Result]] = {
    "stream": stream.run,
    "limits": limits.run,
    "faust": faust.run,
    "quix": quix.run,
    "kstreams": kafka_streams.run,
    "sdk": sdk.run,
    "calls": sdk_calls.run,
    "middleware": middleware.run,
    "ingest": ingest.run,
    "memory": memory.run,
    "sink": sink.run,
    "e2e": end_to_end.run,
    "freshness": freshness.run,
    "webhook": webhook.run,
    "quota": quota.run,
    "export": export.run,
    "reports": reports.run,
    "billing": billing.run,
}


def main(argv: list[str] | None = None) -> int:
    """Exit code 0, 1 where a part failed or its check did, 130 when interrupted. Missed targets do not fail."""
    options = _options(argv)
    chosen = options.only or list(PARTS)
    out: Path | None = options.out if options.out is not None else None if options.quick else PAGE
    # a full run starts from nothing; one of some parts replaces theirs
    store = load(_figures(out)) if out is not None and options.only else Store()
    stamp = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    command = "python -m tests.benchmarks" + "".join(f" {shlex.quote(each)}" for each in argv or sys.argv[1:])
    if options.kstreams is not None:
        command = command.replace(str(options.kstreams), "DIR")  # a folder of this machine says nothing to others
    store.machine = machine(_versions() | {"date": stamp})
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))
    failed = False
    try:
        with Bench() as bench:
            for part in chosen:
                print(f"{report.TITLES[part]} …", flush=True)
                result = _run(bench, part, _sizes(options))
                result.run, result.command = stamp, command
                store.results[part] = result
                failed = failed or bool(result.failed)
                print("  " + report.line(result), flush=True)
                _write(out, store)
    except EndedError as error:
        print(f"cannot measure: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; what was running is ended", file=sys.stderr)
        return 130
    for each in report.targets_lines(store, chosen):
        print(each)
    if out is not None:
        print(f"written: {out}")
    return 1 if failed else 0


def _run(bench: Bench, part: str, sizes: Sizes) -> Result:
    """A part's result; what goes wrong in it is one too, and the next part runs all the same."""
    began = time.monotonic()
    try:
        return PARTS[part](bench, sizes)
    except SkippedError as missing:
        return Result(part=part, skipped=str(missing))
    except CheckFailedError as wrong:
        return Result(part=part, failed=f"its check found it wrong: {wrong}")
    except Exception as error:
        # one part's trouble is its result; the others still run
        return Result(part=part, failed=f"{type(error).__name__}: {' '.join(str(error).split())[:600]}")
    finally:
        bench.end_processes()
        print(f"  ({time.monotonic() - began:.0f} s)", flush=True)


def _sizes(options: argparse.Namespace) -> Sizes:
    events = options.events or (QUICK if options.quick else FULL)
    sizes = Sizes(events=events, kstreams=options.kstreams)
    if not options.quick:
        return sizes
    return replace(sizes, freshness_seconds=3.0, passes=2, billing_tenants=500, billing_days=3, billing_pushes=50)


def _versions() -> dict[str, str]:
    packages = ("confluent-kafka", "faust-streaming", "aiokafka", "chdb", "clickhouse-connect", "msgspec")
    return {
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "Kafka": KAFKA_VERSION,
        **{name: importlib.metadata.version(name) for name in packages},
    }


def _write(out: Path | None, store: Store) -> None:
    if out is not None:
        save(_figures(out), store)
        out.write_text(report.page(store))


def _figures(out: Path) -> Path:
    """Where the figures behind a page are kept."""
    return out.with_suffix(".json")


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--only", action="append", choices=list(PARTS), metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--events", type=_positive, help=f"of the stream worker; the others' follow ({FULL:,})")
    parser.add_argument("--quick", action="store_true", help="tiny sizes; writes no page unless --out is given")
    parser.add_argument("--out", type=Path, help="the page (docs/benchmarks.md); figures go beside it as JSON")
    parser.add_argument("--kstreams", type=Path, help="a Kafka Streams project to measure beside ours")
    return parser.parse_args(argv)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1_000:
        raise argparse.ArgumentTypeError("at least 1000")
    return number


if __name__ == "__main__":
    sys.exit(main())
