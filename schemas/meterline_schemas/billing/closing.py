"""How far billing has come: records of ``billing.closings``, written together with the documents that they speak of.

Key ``tenant/<tenant_id>`` says up to where a tenant's periods are closed, ``series/<kind>`` which number was given
last, ``void/<number>`` which credit note took an invoice back.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct

TENANT: Final = "tenant/"
SERIES: Final = "series/"
VOID: Final = "void/"


class Closing(Struct, frozen=True):
    """Every period of the tenant that ends at or before ``until`` is closed. ``number`` is its last invoice, if any.

    ``since`` is where its first closed period began.
    """

    tenant_id: str
    since: datetime
    until: datetime
    number: str = ""

    @property
    def key(self) -> bytes:
        return f"{TENANT}{self.tenant_id}".encode()


class Series(Struct, frozen=True):
    """How many numbers a series of documents has: they are given from 1 on, without a gap."""

    kind: str
    last: int

    @property
    def key(self) -> bytes:
        return f"{SERIES}{self.kind}".encode()


class Voided(Struct, frozen=True):
    """An invoice that was taken back, and the credit note that says so."""

    number: str
    note: str

    @property
    def key(self) -> bytes:
        return f"{VOID}{self.number}".encode()


encode: Final = msgspec.json.Encoder().encode
read_closing: Final = msgspec.json.Decoder(Closing).decode
read_series: Final = msgspec.json.Decoder(Series).decode
read_voided: Final = msgspec.json.Decoder(Voided).decode
