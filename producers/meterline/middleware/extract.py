"""Where a tenant is found in a request: ready-made extractors for any of the three kinds of request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def header(name: str) -> Callable[[Any], str | None]:
    """A header of the request. A client can send any: only for one that a gateway of yours sets or checks."""
    key = "HTTP_" + name.upper().replace("-", "_")
    raw = name.lower().encode("latin-1")

    def find(request: Any) -> str | None:
        if not isinstance(request, dict):  # Starlette and Django
            found: str | None = request.headers.get(name)
            return found
        if "headers" in request:  # a bare ASGI scope
            return next((value.decode("latin-1") for each, value in request["headers"] if each.lower() == raw), None)
        found = request.get(key)
        return found

    return find


def state(name: str) -> Callable[[Any], object]:
    """What a middleware or view of the app left: Starlette's ``request.state``, Django's request, WSGI's environ."""

    def find(request: Any) -> object:
        if isinstance(request, dict) and "wsgi.version" in request:
            return request.get(name)
        if isinstance(request, Mapping):  # a scope, or Starlette's view of one
            kept = request.get("state") or {}
            return kept.get(name) if isinstance(kept, Mapping) else getattr(kept, name, None)
        return getattr(request, name, None)

    return find


def user(name: str) -> Callable[[Any], object]:
    """An attribute of the authenticated user, in Starlette and Django; nothing where nobody is logged in."""

    def find(request: Any) -> object:
        if isinstance(request, dict) and "wsgi.version" in request:
            raise TypeError("user() knows no WSGI user: pass a callable, in Flask like tenant=lambda environ: g.org_id")
        found = request.get("user") if isinstance(request, Mapping) else getattr(request, "user", None)
        return getattr(found, name, None)

    return find
