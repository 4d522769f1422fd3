"""``python -m meterline.spool FOLDER``: what waits in a spool; with ``--send``, send it.

Producers that use the folder send what is left in it by themselves: this is for a folder that no app uses any more.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from meterline.producer import UsageProducer
from meterline.spool.buffer import DAMAGED
from meterline.spool.segment import SUFFIX, Segment
from meterline_schemas.errors import MeterlineError

_EXAMPLES = """examples:
  python -m meterline.spool /var/lib/shop/usage
  METERLINE_KAFKA=kafka:9092 python -m meterline.spool /var/lib/shop/usage --send
"""


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0, 1 where something is left or cannot be sent, 2 for wrong arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m meterline.spool",
        description=(__doc__ or "").replace("``", ""),
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--send", action="store_true", help="to where the METERLINE_ variables say")
    parser.add_argument("--timeout", type=float, default=600.0, metavar="SECONDS", help="of --send (600)")
    options = parser.parse_args(arguments)
    if not options.folder.is_dir():
        parser.error(f"{options.folder} is no folder")
    try:
        return _send(options.folder, options.timeout) if options.send else _show(options.folder)
    except MeterlineError as error:
        print(error, file=sys.stderr)
        return 1


def _show(folder: Path) -> int:
    total = 0
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            segment = Segment.adopt(path)
        except OSError as error:
            print(f"{path.name}: {error.strerror}")
            continue
        if segment is None:
            print(f"{path.name}: in use by a producer that runs")
            continue
        events = segment.waiting
        written = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(segment.modified()))
        segment.release()
        total += events
        print(f"{path.name}: {events:,} events wait, written to last at {written} UTC")
    damaged = folder / DAMAGED
    if damaged.exists():
        print(f"{damaged}: lines that cannot be read")
    print(f"{total:,} events wait for someone to send them")
    return 0


def _send(folder: Path, timeout: float) -> int:
    if not any(folder.glob(f"*{SUFFIX}")):
        print("nothing waits")
        return 0
    with UsageProducer(spool=folder) as producer:
        left = producer.flush(timeout)
        stats = producer.stats()
    print(f"{stats.acknowledged:,} sent, {stats.failed:,} failed, {left:,} left")
    if others := len(list(folder.glob(f"*{SUFFIX}"))) if not left else 0:
        print(f"{others} files are of a producer that runs, or cannot be read: see {sys.argv[0]} without --send")
    return 1 if left or others or stats.failed else 0


if __name__ == "__main__":
    sys.exit(main())
