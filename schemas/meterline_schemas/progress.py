"""How far a partition is judged: the last record of every checkpoint on each of its output topics."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct


class Progress(Struct, gc=False):
    """A record with key ``progress`` on ``usage.accepted``, ``usage.rejected`` and ``usage.totals``.

    Whoever has read it has read every verdict on the lines before ``next_offset`` that the topic carries. Counts are
    of lines since the partition began: ``lines == accepted + rejected + forwarded``; ``late`` is part of ``accepted``.
    ``received_until`` is the latest append time judged, ``latest_timestamp`` the latest event time accepted.
    """

    kafka_partition: int
    next_offset: int
    received_until: datetime
    latest_timestamp: datetime
    lines: int = 0
    accepted: int = 0
    late: int = 0
    rejected: int = 0
    forwarded: int = 0
