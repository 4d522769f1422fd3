"""Files for the catalog that come with Meterline."""

from __future__ import annotations

from enum import StrEnum
from importlib import resources


class Default(StrEnum):
    """The files, by name."""

    FEATURES = "features"
    ORDERS = "orders"


def read_default(name: Default) -> str:
    """The text of a file."""
    return resources.files(__name__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
