"""Where callers prove who they are: with a key of the catalog, a token, or the key of the settings."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from meterline_api.access.guard import denied
from meterline_api.access.keys import is_valid, principal_of, read_key
from meterline_api.access.principal import ROOT_ACTOR, Principal
from meterline_api.access.tokens import ClaimsError, KeySet, Rules, SharedSecret, Tokens
from meterline_api.settings import ApiSettings
from meterline_schemas.catalog import ApiKey
from meterline_schemas.roles import Role

ROOT: Final = Principal(ROOT_ACTOR, Role.ADMIN, None)


class Access:
    """Turns what a caller sends into a principal. ``find`` gives the newest entry of a key's id.

    A key that is revoked is refused as soon as its entry was read: about a tenth of a second later, in each process.
    """

    def __init__(
        self, root_key: bytes, pepper: bytes, find: Callable[[str], ApiKey | None], tokens: Tokens | None
    ) -> None:
        self._root = root_key
        self._pepper = pepper
        self._find = find
        self._tokens = tokens

    async def principal(self, token: str) -> Principal | None:
        """Who holds a key or token; None: nobody.

        Raises:
            Problem: 403, a token that holds does not say what its holder may do.
        """
        if hmac.compare_digest(token.encode(), self._root):
            return ROOT
        key = read_key(token)
        if key is not None:
            entry = self._find(key.id)
            if entry is None or not is_valid(entry, key, self._pepper, datetime.now(UTC)):
                return None
            return principal_of(entry)
        if self._tokens is None or token.count(".") != 2:
            return None
        try:
            return await self._tokens.principal(token)
        except ClaimsError as error:
            raise denied(str(error)) from None


def tokens_of(settings: ApiSettings) -> Tokens | None:
    """How tokens are read; None where none are taken."""
    rules = Rules(
        settings.jwt_issuer,
        settings.jwt_audience,
        settings.jwt_role_claim,
        settings.jwt_tenant_claim,
        settings.jwt_leeway,
    )
    if settings.jwt_jwks_url:
        return Tokens(KeySet(settings.jwt_jwks_url), rules)
    secret = settings.jwt_secret.get_secret_value()
    return Tokens(SharedSecret(secret), rules) if secret else None
