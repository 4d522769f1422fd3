"""Who may call: holders of the API key, sent as a bearer token (RFC 6750)."""

from __future__ import annotations

import hmac
from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from meterline_api.problems import Code, Problem

_bearer = HTTPBearer(auto_error=False, scheme_name="ApiKey", description="The value of METERLINE_API_KEY.")


async def authenticated(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> None:
    """Lets holders of the key pass.

    Raises:
        Problem: 401, without saying what was wrong with the key.
    """
    expected: bytes = request.app.state.key
    given = credentials.credentials.encode() if credentials is not None else b""
    if not hmac.compare_digest(given, expected):
        raise Problem(
            HTTPStatus.UNAUTHORIZED,
            Code.UNAUTHORIZED,
            "send the API key as Authorization: Bearer <key>; it is METERLINE_API_KEY of the server",
            headers={"WWW-Authenticate": 'Bearer realm="meterline"'},
        )
