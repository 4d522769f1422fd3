"""Metric definitions: records of the compacted ``meterline.config`` topic, keyed ``metric/<key>``."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Final, Self

import msgspec
from msgspec import Meta, Struct

KEY_PREFIX: Final = "metric/"
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}", re.ASCII)


class Aggregation(StrEnum):
    """What a metric's number is, over any window. Closed."""

    COUNT = "count"
    SUM = "sum"
    MIN = "min"
    MAX = "max"
    LAST = "last"


class Metric(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One metric. ``retired`` metrics are no longer offered and still count: usage is never lost to a deletion."""

    key: Annotated[str, Meta(min_length=1, max_length=128)]
    name: str = ""
    unit: str = ""
    aggregation: Aggregation = Aggregation.SUM
    allow_negative: bool = False
    retired: bool = False

    def __post_init__(self) -> None:
        if not _KEY.fullmatch(self.key):
            raise ValueError(
                f"metric key {self.key!r}: letters, digits and _ . : - only, 1 to 128 of them, first a letter or digit"
            )

    @property
    def record_key(self) -> bytes:
        return (KEY_PREFIX + self.key).encode()

    def encode(self) -> bytes:
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, value: bytes) -> Self:
        return msgspec.json.decode(value, type=cls)


class PartitionCount(Struct, frozen=True):
    """The number of partitions of ``usage.events``, written once at key ``partitions``: it can never change."""

    partitions: int


PARTITION_COUNT_KEY: Final = b"partitions"
