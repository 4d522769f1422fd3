"""Files for the catalog that come with Meterline."""

from __future__ import annotations

from enum import StrEnum
from importlib import resources
from typing import Final

_PLAN: Final = "plan-"


class Default(StrEnum):
    """The files, by name; those of plans lie in a folder of their own."""

    FEATURES = "features"
    ORDERS = "orders"
    PLAN_METERED = "plan-metered"
    PLAN_PAY_AS_YOU_GO = "plan-pay-as-you-go"
    PLAN_ORDER_MANAGEMENT = "plan-order-management"
    PLAN_SERVICES = "plan-services"


def read_default(name: Default) -> str:
    """The text of a file."""
    folder = resources.files(__name__)
    file = folder / "plans" / f"{name.removeprefix(_PLAN)}.yaml" if name.startswith(_PLAN) else folder / f"{name}.yaml"
    return file.read_text(encoding="utf-8")
