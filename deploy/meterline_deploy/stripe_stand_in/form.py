"""Stripe's form encoding: ``a[b]=1&c[0][d]=2&e[]=3`` as nested dictionaries and lists of text. Pure."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import parse_qsl

from meterline_deploy.stripe_stand_in.errors import invalid

NAME: Final = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*])*)\Z")
LONGEST: Final = 10_000
"""Pairs in one request."""


def decode(text: str) -> dict[str, Any]:
    """Raises StripeError (400) for text that is no form."""
    try:
        pairs = parse_qsl(
            text, keep_blank_values=True, strict_parsing=bool(text), max_num_fields=LONGEST, errors="strict"
        )
    except ValueError:
        raise invalid("Invalid request: the body is not form-encoded.") from None
    tree: dict[str, Any] = {}
    for name, value in pairs:
        found = NAME.match(name)
        if not found:
            raise invalid(f"Invalid request: {name} is not a parameter name.", name)
        place(tree, [found[1], *re.findall(r"\[([^\[\]]*)]", found[2])], value, name)
    return {name: _lists(value) for name, value in tree.items()}


def place(tree: dict[str, Any], path: list[str], value: str, name: str) -> None:
    for step in path[:-1]:
        tree = tree.setdefault(step or str(len(tree)), {})
        if not isinstance(tree, dict):
            raise invalid(f"Invalid request: {name} is both a value and a group.", name)
    last = path[-1] or str(len(tree))
    if isinstance(tree.get(last), dict):
        raise invalid(f"Invalid request: {name} is both a value and a group.", name)
    tree[last] = value


def _lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {name: _lists(each) for name, each in value.items()}
    return list(inner.values()) if inner and all(name.isascii() and name.isdigit() for name in inner) else inner
