"""The ledger of what Stripe was told: records of ``billing.pushes``, one for each customer, meter and UTC day.

An intent is written, and acknowledged, before Stripe is called; its outcome after. While an intent has no outcome no
other is written for its key, so that whoever goes on sends the same identifier with the same value: Stripe takes an
identifier once.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

_IDENTIFIER: Final = re.compile(r"([^:/]{1,255}):([^:/]{1,255}):([0-9]{4}-[0-9]{2}-[0-9]{2}):r([1-9][0-9]{0,8})")
EVENT: Final = "evt_"
"""What ids of events at Stripe begin with; those of requests do not."""


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
    def reported(self) -> bool:
        """Whether Stripe took it first, and told later, by an event (``request_id``), that it does not count."""
        return self.state is PushState.REFUSED and self.request_id.startswith(EVENT)

    @property
    def key(self) -> bytes:
        return f"{self.customer}/{self.meter}/{self.day.isoformat()}".encode()


class Identified(NamedTuple):
    """What an identifier names."""

    customer: str
    meter: str
    day: date
    revision: int


def identified(text: str) -> Identified | None:
    """What ``Push.identifier`` wrote; None where it is not of that form: somebody else's."""
    found = _IDENTIFIER.fullmatch(text)
    try:
        return found and Identified(found[1], found[2], date.fromisoformat(found[3]), int(found[4]))
    except ValueError:
        return None


encode: Final = msgspec.json.Encoder().encode
read_push: Final = msgspec.json.Decoder(Push).decode
