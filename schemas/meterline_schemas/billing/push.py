"""The ledger of what Stripe was told: records of ``billing.pushes``, one for each customer, meter and UTC day.

An intent is written, and acknowledged, before Stripe is called; its outcome after. While an intent has no outcome no
other is written for its key, so that whoever goes on sends the same identifier with the same value: Stripe takes an
identifier once.
"""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Final

import msgspec
from msgspec import Struct


class PushState(StrEnum):
    """Closed. ``refused``: Stripe will never take it as it is; ``detail`` says why."""

    INTENT = "intent"
    DELIVERED = "delivered"
    REFUSED = "refused"


class Push(Struct, frozen=True):
    """``value`` is the absolute total of the day, a whole number of the meter's smallest parts.

    ``customer`` and ``meter`` are ids of Stripe. ``revision`` counts the values that a day had, from 1.
    """

    customer: str
    meter: str
    day: date
    revision: int
    value: int
    tenant_id: str
    metric: str
    state: PushState
    at: datetime
    detail: str = ""
    request_id: str = ""

    @property
    def identifier(self) -> str:
        """What Stripe knows it by: never used for two values."""
        return f"{self.customer}:{self.meter}:{self.day.isoformat()}:r{self.revision}"

    @property
    def key(self) -> bytes:
        return f"{self.customer}/{self.meter}/{self.day.isoformat()}".encode()


encode: Final = msgspec.json.Encoder().encode
read_push: Final = msgspec.json.Decoder(Push).decode
