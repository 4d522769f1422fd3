"""Which right each route of the application needs: none may be without, unless it is named here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from fastapi import FastAPI
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts

from meterline_api.access.guard import right_of
from meterline_api.access.principal import Right

PUBLIC: Final = frozenset(
    {"/health", "/health/live", "/health/ready", "/metrics", "/api/billing/health", "/v1/stripe/webhook"}
)
"""Monitors ask these without a key; no answer of theirs is about a tenant. Stripe signs what it sends."""


class Guarded(NamedTuple):
    """A route and the rights that it needs; none of them: it is enough to prove who one is."""

    route: RouteContext
    rights: frozenset[Right]


def guarded(app: FastAPI) -> Iterator[Guarded]:
    """Every route that is not public.

    Raises:
        LookupError: a route has no guard and is not public.
    """
    for route in iter_route_contexts(app.routes):
        if not isinstance(route.original_route, APIRoute) or not route.include_in_schema or route.path in PUBLIC:
            continue
        calls = [dependency.call for dependency in route.dependant.dependencies]
        rights = [right for call in calls for right in _rights(call)]
        if not rights:
            raise LookupError(f"{route.path} needs no right: give it dependencies=[needs(…)], or name it as public")
        yield Guarded(route, frozenset(right for right in rights if right is not None))


def _rights(call: object) -> list[Right | None]:
    try:
        return [right_of(call)]
    except KeyError:
        return []
