"""Every topic, with its settings and retention, in one place.

A prefix (``METERLINE_TOPIC_PREFIX``, empty by default) keeps several installations apart on one cluster.
``usage.events`` and the topics that follow it have the same number of partitions, and what is judged on
partition *p* of ``usage.events`` is written to partition *p* of the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

EVENTS: Final = "usage.events"
ACCEPTED: Final = "usage.accepted"
REJECTED: Final = "usage.rejected"
TOTALS: Final = "usage.totals"
STATE: Final = "meterline.state"
CONFIG: Final = "meterline.config"
COUNTERS: Final = "usage.counters"
BASES: Final = "usage.bases"
NOTIFICATIONS: Final = "meterline.notifications"
DELIVERIES: Final = "meterline.deliveries"
AUDIT: Final = "meterline.audit"
INVOICES: Final = "billing.invoices"
CLOSINGS: Final = "billing.closings"
PUSHES: Final = "billing.pushes"
COSTS: Final = "billing.costs"
ITEMS: Final = "billing.items"
RUNS: Final = "billing.runs"
PAYMENTS: Final = "billing.payments"

STREAM_GROUP: Final = "meterline-streams"
SINK_GROUP: Final = "meterline-sinks"
NOTIFIER_GROUP: Final = "meterline-notifier"

# headers of a record on usage.events
HOP_HEADER: Final = "meterline-hop"  # "1": forwarded once already, count it where it lies
RECEIVED_HEADER: Final = "meterline-received-at"  # first append time, milliseconds since the epoch, decimal text
ORIGIN_HEADER: Final = "meterline-origin"  # "<partition>:<offset>:<line>,<line>…" of the lines that were forwarded

PROGRESS_KEY: Final = b"progress"  # on accepted, rejected and totals: the last record of each checkpoint

DEFAULT_PARTITIONS: Final = 8

_DAY_MS = 86_400_000
_MIB = 1024 * 1024


@dataclass(frozen=True)
class Topic:
    """A topic's name without prefix, who decides its partition count, and its settings as the broker names them."""

    name: str
    partitioned: Literal["like_events", "single"]
    settings: dict[str, str]


def _log(days: int, **more: str) -> dict[str, str]:
    return {"cleanup.policy": "delete", "retention.ms": str(days * _DAY_MS), **_common(), **more}


def _kept() -> dict[str, str]:
    """For ever, whatever the broker's defaults are."""
    return {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1", **_common()}


def _compacted(**more: str) -> dict[str, str]:
    return {
        "cleanup.policy": "compact",
        "min.cleanable.dirty.ratio": "0.1",
        "segment.bytes": str(64 * _MIB),
        "segment.ms": "600000",
        "delete.retention.ms": str(_DAY_MS),
        **_common(),
        **more,
    }


def _common() -> dict[str, str]:
    # the broker's clock stamps every record: an event's own time must not decide what retention deletes
    return {"message.timestamp.type": "LogAppendTime"}


TOPICS: Final[tuple[Topic, ...]] = (
    Topic(EVENTS, "like_events", _log(7, **{"max.message.bytes": str(16 * _MIB)})),
    # ClickHouse can be rebuilt from these three as far back as they reach
    Topic(ACCEPTED, "like_events", _log(45, **{"max.message.bytes": str(8 * _MIB)})),
    Topic(REJECTED, "like_events", _log(45, **{"max.message.bytes": str(8 * _MIB)})),
    Topic(
        TOTALS,
        "like_events",
        _compacted(
            **{
                "cleanup.policy": "compact,delete",
                "retention.ms": str(45 * _DAY_MS),
                "max.message.bytes": str(8 * _MIB),
            }
        ),
    ),
    Topic(STATE, "like_events", _compacted(**{"max.message.bytes": str(8 * _MIB)})),
    Topic(CONFIG, "single", _compacted()),
    Topic(COUNTERS, "like_events", _compacted()),
    Topic(BASES, "like_events", _compacted(**{"cleanup.policy": "compact,delete", "retention.ms": str(45 * _DAY_MS)})),
    Topic(NOTIFICATIONS, "like_events", _log(45)),
    Topic(AUDIT, "single", _kept()),
    Topic(INVOICES, "single", _kept() | {"max.message.bytes": str(8 * _MIB)}),
    Topic(CLOSINGS, "single", _compacted()),
    Topic(COSTS, "single", _compacted(**{"cleanup.policy": "compact,delete", "retention.ms": str(400 * _DAY_MS)})),
    Topic(PUSHES, "single", _compacted(**{"cleanup.policy": "compact,delete", "retention.ms": str(400 * _DAY_MS)})),
    Topic(ITEMS, "single", _compacted(**{"max.message.bytes": str(8 * _MIB)})),
    Topic(RUNS, "single", _compacted(**{"cleanup.policy": "compact,delete", "retention.ms": str(400 * _DAY_MS)})),
    Topic(PAYMENTS, "single", _compacted(**{"cleanup.policy": "compact,delete", "retention.ms": str(800 * _DAY_MS)})),
    Topic(
        DELIVERIES,
        "like_events",
        _compacted(**{"cleanup.policy": "compact,delete", "retention.ms": str(45 * _DAY_MS)}),
    ),
)

REPLICATED: Final = {
    "min.insync.replicas": "2",
    "unclean.leader.election.enable": "false",
}  # with three replicas
