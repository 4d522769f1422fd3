"""Check ``progress``: ClickHouse has been written as far as the stream has judged."""

from __future__ import annotations

from collections.abc import Mapping

from meterline_deploy.reconcile.report import Check, Difference
from meterline_deploy.reconcile.scope import ACCEPTED, REJECTED, TOTALS, PartitionScope

TOPICS = (ACCEPTED, REJECTED, TOTALS)

Written = Mapping[tuple[str, int], int]


def new_check() -> Check:
    return Check("progress", "usage_progress = the watermark of each partition, on all three topics", "partitions")


def wanted(scopes: list[PartitionScope]) -> dict[tuple[str, int], int]:
    """How far ClickHouse must be written."""
    return {(topic, scope.partition): scope.until.next_offset for scope in scopes for topic in TOPICS}


def cut(scopes: list[PartitionScope], written: Written) -> dict[int, int]:
    """Per partition the offset up to which everything is written, whether asked for or not."""
    return {
        scope.partition: min(scope.newest.next_offset, *(written.get((topic, scope.partition), 0) for topic in TOPICS))
        for scope in scopes
    }


def check_progress(scopes: list[PartitionScope], written: Written, waited: float, limit: int, check: Check) -> None:
    check.compared = len(scopes)
    behind = []
    for (topic, partition), offset in wanted(scopes).items():
        at = written.get((topic, partition), 0)
        if at < offset:
            key = {"topic": topic, "partition": str(partition)}
            detail = f"{offset - at:,} offsets behind after {waited:g} s; is the sink running? More with --wait"
            behind.append(Difference("behind", key, {"next_offset": str(offset)}, {"next_offset": str(at)}, detail))
    check.add(behind, limit)
