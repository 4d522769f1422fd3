"""JSON Web Tokens: who issued them, whether they hold, and whom they name.

RS256 or ES256 with the keys of a JWKS address, or HS256 with a shared secret for development: never both, so that no
token can choose how it is checked. Issuer, audience, expiry and subject must be there.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import jwt

from meterline_api.access.principal import Principal, tenants_from
from meterline_schemas.roles import Role

log = logging.getLogger(__name__)

_REFRESH_SECONDS: Final = 300.0
_REST_SECONDS: Final = 5.0  # an unknown key id asks for a look, and whoever sends many must not cause many
_TIMEOUT: Final = 5
_STRONGEST_FIRST: Final = (Role.ADMIN, Role.FINANCE, Role.VIEWER, Role.PRODUCER)
_ALIASES: Final = {"creator": Role.PRODUCER}  # requirement document 1's name


class ClaimsError(ValueError):
    """A token that holds and says nothing that can be used; the text says what is missing."""


@dataclass(frozen=True)
class Rules:
    """What a token must say, and in which claims role and tenants stand. ``leeway`` in seconds."""

    issuer: str
    audience: str
    role_claim: str = "role"
    tenant_claim: str = "tenant_id"
    leeway: float = 30.0


class Keys(Protocol):
    """Where keys come from, and which algorithms are theirs."""

    algorithms: tuple[str, ...]

    async def find(self, key_id: str | None) -> Any | None: ...


class SharedSecret:
    """One secret that issuer and server share (HS256)."""

    algorithms: tuple[str, ...] = ("HS256",)

    def __init__(self, secret: str) -> None:
        self._secret = secret

    async def find(self, key_id: str | None) -> Any | None:
        return self._secret


class KeySet:
    """The public keys at a JWKS address (RFC 7517), read again every few minutes and when a token names another key.

    While the address does not answer the keys that were read last stay.
    """

    algorithms: tuple[str, ...] = ("RS256", "ES256")

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._client = jwt.PyJWKClient(url, cache_jwk_set=False, timeout=_TIMEOUT)
        self._url = url
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._tried = -math.inf
        self._turn = asyncio.Lock()

    async def find(self, key_id: str | None) -> Any | None:
        age = self._clock() - self._tried
        if age > _REFRESH_SECONDS or (key_id not in self._keys and age > _REST_SECONDS):
            async with self._turn:
                if self._clock() - self._tried > min(age, _REST_SECONDS):
                    await self._read()
        return self._keys.get(key_id)

    async def _read(self) -> None:
        self._tried = self._clock()
        try:
            found = jwt.PyJWKSet.from_dict(await asyncio.to_thread(self._client.fetch_data))
        except (jwt.PyJWTError, ValueError, TypeError, LookupError, AttributeError, OSError) as error:
            log.warning("the keys at %s cannot be read: %s", self._url, " ".join(str(error).split())[:300])
            return
        self._keys = {key.key_id: key for key in found.keys}


class Tokens:
    """Reads tokens by the rules of one issuer."""

    def __init__(self, keys: Keys, rules: Rules) -> None:
        self._keys = keys
        self._rules = rules

    async def principal(self, token: str) -> Principal | None:
        """Whom a token names; None: it does not hold.

        Raises:
            ClaimsError: it holds, and does not say what its holder may do.
        """
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in self._keys.algorithms:
                return None
            key = await self._keys.find(header.get("kid"))
            if key is None:
                return None
            claims = jwt.decode(
                token,
                key,
                algorithms=self._keys.algorithms,
                issuer=self._rules.issuer,
                audience=self._rules.audience,
                leeway=self._rules.leeway,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except (jwt.PyJWTError, ValueError, TypeError):
            return None
        return principal_of(claims, self._rules)


def principal_of(claims: Mapping[str, Any], rules: Rules) -> Principal:
    """Pure. Of several roles the strongest counts.

    Raises:
        ClaimsError: no role, or a role other than admin without tenants.
    """
    given = {name.lower() for name in _texts(claims.get(rules.role_claim))}
    roles = {_ALIASES.get(name, name) for name in given}
    role = next((role for role in _STRONGEST_FIRST if role in roles), None)
    if role is None:
        known = ", ".join(_STRONGEST_FIRST)
        raise ClaimsError(f"the token names no role: claim {rules.role_claim!r} must be one of {known}")
    tenants = _texts(claims.get(rules.tenant_claim))
    if not tenants:
        raise ClaimsError(f"the token names no tenant: claim {rules.tenant_claim!r} must have it, or * for all")
    return Principal(f"token:{claims['sub']}", role, tenants_from(tenants))


def _texts(claim: Any) -> list[str]:
    """The texts of a claim that is one or a list of them."""
    found = claim if isinstance(claim, list) else [claim]
    return [text for text in found if isinstance(text, str) and text]
