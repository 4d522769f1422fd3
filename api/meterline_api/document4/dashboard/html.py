"""The dashboard as one page of HTML that needs nothing besides itself and runs no script."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import Final

from markupsafe import Markup

from meterline_api.billing.rendering.templates import template
from meterline_api.document4.dashboard.board import Board
from meterline_api.document4.dashboard.chart import HEIGHT, TOP, WIDTH

_PACKAGE: Final = "meterline_api.document4.dashboard"
_LABELS: Final = 20  # the height of the days' names


def as_html(board: Board) -> bytes:
    """Every text of somebody's is escaped."""
    size = {"width": WIDTH, "height": TOP + HEIGHT + _LABELS, "ground": TOP + HEIGHT}
    return (
        template(_PACKAGE, "dashboard.html")
        .render(board=board, size=size, style=Markup(_style()), policy=_policy())
        .encode()
    )


@cache
def content_security_policy() -> str:
    """As a header: the page's own style and nothing else, and a frame of the same site at most."""
    return f"{_policy()}; frame-ancestors 'self'"


@cache
def _policy() -> str:
    """What the page says itself, where it is a file."""
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


@cache
def _style() -> str:
    return files(_PACKAGE).joinpath("dashboard.css").read_text("utf-8")
