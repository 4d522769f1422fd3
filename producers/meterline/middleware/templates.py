"""The template of the route that answered, ``/items/{id}``, as Starlette and FastAPI leave it in the scope. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

_PARAMETER: Final = re.compile(r"\{(\w+)[^}]*\}")
_REST: Final = "/{path}"  # how a mount's own template ends
_FULL: Final = 2  # starlette.routing.Match.FULL


def template_of(scope: Mapping[str, Any]) -> str:
    """Empty where no route matched. Never the path as it came: it holds what users typed, and has no end of values."""
    route = scope.get("route")
    mounted = "app_root_path" in scope
    if route is not None and not mounted:
        return _own_template(scope, route)
    mounts, last = _walk(scope.get("router"), _as_it_came(scope))
    if last is not None and (route is None or not hasattr(last, "routes") or last is route):
        return mounts + _format(last)
    if route is None:
        return ""
    if last is not None:  # from this mount on nothing more could be found but the route itself
        return mounts + _format(last).removesuffix(_REST) + _own_template(scope, route)
    prefix = scope.get("root_path", "")[len(scope["app_root_path"]) :]
    return behind(prefix, scope.get("path_params", {}), _own_template(scope, route))


def behind(prefix: str, parameters: Mapping[str, Any], template: str) -> str:
    """A template behind a path's beginning, in which each parameter that is not the template's is named again."""
    missing = {name: str(value) for name, value in parameters.items() if f"{{{name}" not in template}
    segments = prefix.split("/")
    for name, value in missing.items():
        parts = value.split("/")
        if value and parts[0] in segments:
            segments = [f"{{{name}}}" if each in parts else each for each in segments]
        else:
            return "/" + "/".join(f"{{{each}}}" for each in missing) + template
    return "/".join(segments) + template


def _own_template(scope: Mapping[str, Any], route: Any) -> str:
    """FastAPI keeps what an ``include_router`` put before a route beside it, not in it."""
    context = (scope.get("fastapi") or {}).get("effective_route_context")
    found = route if getattr(context, "original_route", None) is not route else context
    return _format(found)


def _format(route: Any) -> str:
    return _plain(getattr(route, "path_format", None) or getattr(route, "path", None) or "")


@lru_cache(maxsize=1_024)
def _plain(template: str) -> str:
    """Parameters by their names alone, without what converts them."""
    return _PARAMETER.sub(r"{\1}", template)


def _walk(router: Any, scope: Mapping[str, Any]) -> tuple[str, Any]:
    """Match again from the top, for mounts and for a Starlette that does not say which route it chose.

    The templates of the mounts on the way, and the last route or mount that was found, or None.
    """
    for route in getattr(router, "routes", None) or ():
        match, child = route.matches(scope)
        if getattr(match, "value", 0) != _FULL or not child:
            continue
        if "root_path" in child or not hasattr(route, "path"):  # a mount, or all routes of a host
            before = _format(route).removesuffix(_REST)
            mounts, last = _walk(route, {**scope, **child})
            return ("", route) if last is None else (before + mounts, last)
        return "", route
    return "", None


def _as_it_came(scope: Mapping[str, Any]) -> dict[str, Any]:
    before = {name: value for name, value in scope.items() if name not in ("path_params", "fastapi", "route")}
    before["root_path"] = scope.get("app_root_path", scope.get("root_path", ""))
    before.pop("app_root_path", None)
    return before
