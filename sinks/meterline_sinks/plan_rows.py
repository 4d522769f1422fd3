"""What a plan costs, and who is on which, as elements of their rows. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from meterline_schemas.catalog import Charge, Plan, PlanVersion, TenantPlan


def terms(plan: Plan) -> list[dict[str, Any]]:
    """An element for each charge of each version; of a version without charges one that has none."""
    untils = [version.start for version in plan.versions[1:]] + [None]
    return [
        {
            "plan_version": number,
            "start": _text(version.start),
            "until": _text(until),
            "base_fee": format(version.base_fee, "f"),
            **charge,
        }
        for number, (version, until) in enumerate(zip(plan.versions, untils, strict=True), 1)
        for charge in _charges(version)
    ]


def spans(found: TenantPlan) -> list[dict[str, Any]]:
    untils = [span.start for span in found.spans[1:]] + [None]
    return [
        {"start": _text(span.start), "until": _text(until), "plan": span.plan or ""}
        for span, until in zip(found.spans, untils, strict=False)
    ]


def _charges(version: PlanVersion) -> Iterator[dict[str, Any]]:
    if not version.charges:
        yield {}
    for charge in version.charges:
        yield _charge(charge)


def _charge(charge: Charge) -> dict[str, Any]:
    fields = charge.model_dump(mode="json", exclude_none=True)
    price = fields.pop("price")
    flat = {name: price[name] for name in ("unit_price", "per") if price["model"] == "per_unit"}
    named = {"charge_name": fields.pop("name"), "charge_description": fields.pop("description")}
    return {**fields, **named, **flat, "model": price["model"], "price": msgspec.json.encode(price).decode()}


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="milliseconds")
