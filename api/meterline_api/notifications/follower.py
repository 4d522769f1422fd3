"""A thread that keeps the deliveries up to date with ``meterline.deliveries``."""

from __future__ import annotations

from meterline_api import follower
from meterline_api.notifications.deliveries import Deliveries


class Follower(follower.Follower):
    """Reads the ledger into ``deliveries`` as it grows, until ``stop``; nothing else waits for it."""

    def __init__(self, deliveries: Deliveries, tail: follower.Tail) -> None:
        apply = follower.one_by_one(lambda record: deliveries.apply(record.partition, record.value))
        super().__init__(
            "deliveries", tail, apply, "the ledger has not been read to its end yet; ask again in a moment"
        )
