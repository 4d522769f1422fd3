"""Where callers prove who they are."""

from __future__ import annotations

import hmac

from meterline_api.access.principal import Principal, Role

ROOT = Principal("root", Role.ADMIN, None)


class Access:
    """Turns what a caller sends into a principal. The key of the settings is that of the first administrator."""

    def __init__(self, root_key: bytes) -> None:
        self._root = root_key

    async def principal(self, token: str) -> Principal | None:
        """Who holds a key or token; None: nobody."""
        if hmac.compare_digest(token.encode(), self._root):
            return ROOT
        return None
