"""The number of partitions of ``usage.events``, written down once: it can never change."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

PARTITION_COUNT_KEY: Final = b"partitions"


class PartitionCount(Struct, frozen=True):
    partitions: int
