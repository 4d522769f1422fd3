"""API keys as text: how they are made, taken apart and recognised. Pure but for the randomness of a new one.

``mk_<id>_<secret>``: the id finds the entry, and the HMAC of the secret must be the one that is kept there. The secret
has 256 bits, so that a fast hash is enough; the pepper keeps a copy of the config topic from being of any use.
"""

from __future__ import annotations

import hmac
import secrets
from datetime import datetime
from typing import Final, NamedTuple

from meterline_api.access.principal import Principal, tenants_from
from meterline_schemas.catalog import ApiKey

_PREFIX: Final = "mk"
_ALPHABET: Final = "abcdefghijkmnpqrstuvwxyz23456789"
_ID_LENGTH: Final = 12
_LONGEST: Final = 200


class KeyText(NamedTuple):
    """A key as its holder sends it."""

    id: str
    secret: str

    def __str__(self) -> str:
        return f"{_PREFIX}_{self.id}_{self.secret}"


def new_key() -> KeyText:
    return KeyText("".join(secrets.choice(_ALPHABET) for _ in range(_ID_LENGTH)), secrets.token_hex(32))


def read_key(token: str) -> KeyText | None:
    """The parts of a key; None where a token is none."""
    if len(token) > _LONGEST:
        return None
    prefix, _, rest = token.partition("_")
    id, _, secret = rest.partition("_")
    return KeyText(id, secret) if prefix == _PREFIX and id and secret else None


def hash_of(secret: str, pepper: bytes) -> str:
    """What is kept of a secret: HMAC-SHA256, in hexadecimal."""
    return hmac.digest(pepper, secret.encode(), "sha256").hex()


def pepper_from(root_key: bytes) -> bytes:
    """The pepper of an installation that sets none: it changes with the key of the first administrator."""
    return hmac.digest(root_key, b"meterline: pepper of API keys", "sha256")


def is_valid(entry: ApiKey, key: KeyText, pepper: bytes, now: datetime) -> bool:
    """Whether a key is the one that the entry is of, and may be used at ``now``."""
    right = hmac.compare_digest(entry.hash, hash_of(key.secret, pepper))
    return right and entry.revoked_at is None and (entry.expires_at is None or now < entry.expires_at)


def principal_of(entry: ApiKey) -> Principal:
    return Principal(f"key:{entry.id}", entry.role, tenants_from(entry.tenants), entry.requests_per_second)
