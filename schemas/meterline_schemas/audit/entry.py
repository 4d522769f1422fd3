"""An entry of the audit log, and its hash. Pure.

A record of ``meterline.audit`` is one entry as JSON. ``before``, ``after`` and ``details`` are kept as the bytes that
they were written with, so that a hash can be computed again from any copy of an entry.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from meterline_schemas.reading import UNREADABLE

GENESIS: Final = "0" * 64
"""``previous`` of the first entry."""

_encode: Final = msgspec.json.Encoder(order="sorted").encode
_NOTHING: Final = Raw(b"null")
_MAX_ORIGIN: Final = 300  # characters


class Author(Struct, frozen=True):
    """Who does something: ``root``, ``key:<id>``, ``token:<subject>`` or ``cli:<user of the system>``.

    ``origin`` is where from, such as the address of the caller; ``request_id`` is what the caller names it by.
    """

    actor: str
    origin: str = ""
    request_id: str = ""


class Draft(Struct, frozen=True, kw_only=True):
    """An entry before it has its place in the log. ``before`` and ``after`` must hold no secrets."""

    author: Author
    action: str
    resource_type: str
    resource_id: str = ""
    tenant_id: str = ""
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    details: Mapping[str, Any] | None = None


class AuditEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry. ``seq`` counts from 1; ``at`` is RFC 3339 in UTC with milliseconds.

    ``previous`` is the hash of the entry before it, ``hash`` that of everything else in this one.
    """

    seq: int
    id: str
    at: str
    actor: str
    origin: str
    request_id: str
    action: str
    resource_type: str
    resource_id: str
    tenant_id: str
    before: Raw
    after: Raw
    details: Raw
    previous: str
    hash: str

    def encode(self) -> bytes:
        return msgspec.json.encode(self)

    def computed_hash(self) -> str:
        """What ``hash`` must be: SHA-256 over all other fields as text, each with its length in front."""
        return _hash(
            str(getattr(self, name)) if not isinstance(getattr(self, name), Raw) else bytes(getattr(self, name))
            for name in HASHED
        )


HASHED: Final = tuple(name for name in AuditEntry.__struct_fields__ if name != "hash")


def written(draft: Draft, *, seq: int, id: str, at: datetime, previous: str) -> AuditEntry:
    """The entry that a draft becomes in its place."""
    entry = AuditEntry(
        seq=seq,
        id=id,
        at=instant(at),
        actor=draft.author.actor,
        origin=draft.author.origin[:_MAX_ORIGIN],
        request_id=draft.author.request_id[:_MAX_ORIGIN],
        action=draft.action,
        resource_type=draft.resource_type,
        resource_id=draft.resource_id,
        tenant_id=draft.tenant_id,
        before=_raw(draft.before),
        after=_raw(draft.after),
        details=_raw(draft.details),
        previous=previous,
        hash="",
    )
    return msgspec.structs.replace(entry, hash=entry.computed_hash())


_decoder: Final = msgspec.json.Decoder(AuditEntry)


def decode(value: bytes) -> AuditEntry:
    """The entry of a record.

    Raises:
        ValueError: it is none.
    """
    try:
        entry = _decoder.decode(value)
        for raw in (entry.before, entry.after, entry.details):
            bytes(raw).decode()
    except UNREADABLE as error:
        raise ValueError(str(error)) from None
    return entry


def instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _raw(value: Mapping[str, Any] | None) -> Raw:
    return _NOTHING if value is None else Raw(_encode(value))


def _hash(fields: Iterable[str | bytes]) -> str:
    digest = hashlib.sha256()
    for field in fields:
        data = field.encode() if isinstance(field, str) else field
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()
