"""What stands before every route: the right that it needs, and whose data the caller reaches.

A route says ``dependencies=[needs(Right.READ_USAGE)]``, for itself or for its whole router. What it is asked for is
then held against ``caller(request)``: ``tenants_of`` for a filter, ``refuse_unseen`` for one tenant.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from meterline_api.access.principal import Principal, Right
from meterline_api.problems import Code, Problem

_bearer: Final = HTTPBearer(
    auto_error=False,
    scheme_name="Bearer",
    description="An API key (`mk_…`), or a JSON Web Token where the server takes them.",
)
Guard = Callable[..., Awaitable[None]]
_RIGHTS: Final[dict[Guard, Right | None]] = {}


def needs(right: Right | None) -> Any:
    """A dependency that lets those pass who have the right; None: everybody who proves who they are.

    Raises:
        Problem: 401 without saying what was wrong; 403 ``permission_denied``; 429.
    """

    async def guard(
        request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
    ) -> None:
        await let_in(request, credentials.credentials if credentials is not None else "", right)

    _RIGHTS[guard] = right
    return Depends(guard)


async def let_in(request: Request, token: str, right: Right | None) -> None:
    """What a guard does with the token that a request came with. Raises as ``needs`` says."""
    if getattr(request.state, "caller", None) is None:  # else another guard has let it in
        await _identify(request, token)
    if right is not None:
        require(request, right)


async def _identify(request: Request, token: str) -> None:
    """Find out who calls, and count the request: once, however many rights its route needs."""
    principal: Principal | None = await request.app.state.access.principal(token)
    if principal is None:
        raise Problem(
            HTTPStatus.UNAUTHORIZED,
            Code.UNAUTHORIZED,
            "send a valid API key as Authorization: Bearer <key>; METERLINE_API_KEY of the server is one",
            headers={"WWW-Authenticate": 'Bearer realm="meterline"'},
        )
    request.state.caller = principal
    request.state.rate_limit = await request.app.state.limiter.take(principal)


READS: Final = [needs(Right.READ_CATALOG)]
CHANGES: Final = [needs(Right.ADMINISTER)]


def right_of(guard: Any) -> Right | None:
    """The right that a dependency made by ``needs`` asks for.

    Raises:
        KeyError: it was not made by it.
    """
    return _RIGHTS[guard]


def caller(request: Request) -> Principal:
    """Who called; only under a route with ``needs``."""
    principal: Principal = request.state.caller
    return principal


def require(request: Request, right: Right) -> None:
    """For routes that know only later which right they need.

    Raises:
        Problem: 403.
    """
    principal = caller(request)
    if not principal.may(right):
        raise denied(f"the role {principal.role} does not have {right}")


def refuse_unseen(request: Request, tenant_id: str) -> None:
    """Refuse what is about a tenant that the caller does not reach, whether or not it exists.

    Raises:
        Problem: 403.
    """
    if not caller(request).sees(tenant_id):
        whose = f"tenant {tenant_id[:100]!r}" if tenant_id else "what is for all tenants"
        raise denied(f"this key or token does not reach {whose}")


def refuse_unseen_filter(request: Request, tenant_id: str | None) -> None:
    """As ``refuse_unseen`` for a filter that may be absent, or empty for what is for all tenants.

    Raises:
        Problem: 403.
    """
    if tenant_id:
        refuse_unseen(request, tenant_id)


def tenants_of(request: Request, asked: str | None) -> tuple[str, ...] | None:
    """Whose data a query is about: the tenant asked for or, without one, all that the caller reaches. None: everybody.

    Raises:
        Problem: 403, the one asked for is not reached.
    """
    if asked is not None:
        refuse_unseen(request, asked)
        return (asked,)
    tenants = caller(request).tenants
    return None if tenants is None else tuple(sorted(tenants))


def denied(why: str) -> Problem:
    return Problem(HTTPStatus.FORBIDDEN, Code.PERMISSION_DENIED, f"{why}; ask an administrator")
