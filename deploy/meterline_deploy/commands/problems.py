"""Wrong options, said as typer says them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from meterline_schemas.errors import ConfigurationError


@contextmanager
def usage_errors() -> Iterator[None]:
    """What is wrong with an option ends the command with exit code 2."""
    try:
        yield
    except ConfigurationError as error:
        raise typer.BadParameter(str(error)) from None
