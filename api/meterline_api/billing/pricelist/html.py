"""Price lists as one page of HTML that needs nothing besides itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from meterline_api.billing.rendering.html import CONTENT_SECURITY_POLICY


def as_html(plans: Sequence[Mapping[str, Any]]) -> bytes:
    """Every text of somebody's is escaped."""
    return _template().render(plans=plans, policy=CONTENT_SECURITY_POLICY).encode()


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("meterline_api.billing.pricelist", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("pricing.html")
