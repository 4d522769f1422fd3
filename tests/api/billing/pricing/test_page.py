"""The examples of the page on pricing come to what it says."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, get_args

import pytest
import yaml

from meterline_api.billing.pricing.bill import Usage, bill
from meterline_api.billing.pricing.money import Rounding, rounded
from meterline_api.billing.pricing.rating import rate
from meterline_api.billing.pricing.segments import Segment
from meterline_schemas.catalog import Charge, Plan
from meterline_schemas.catalog.price import Price
from tests.api.billing.pricing.choices import END, START
from tests.api.billing.pricing.naive import owed

PAGE: Final = (Path(__file__).parents[4] / "docs" / "pricing.md").read_text()
CHARGE: Final = re.compile(r"```yaml\n(metric:.*?)```\n\n((?:\|[^\n]*\n)+)", re.DOTALL)
ROW: Final = re.compile(r"\| (\d+) \| ([\d.]+) \| .* \|")
ROUNDED: Final = re.compile(r"\| ([\d.]+) \| ([A-Z]{3}) \| ([\d.]+) \| ([\d.]+) \|")


def examples() -> list[tuple[dict[str, Any], str, str]]:
    """A charge, a quantity and the amount that the page gives."""
    return [
        (yaml.safe_load(charge), quantity, amount)
        for charge, table in CHARGE.findall(PAGE)
        for quantity, amount in ROW.findall(table)
    ]


@pytest.mark.parametrize(("charge", "quantity", "amount"), examples())
def test_an_example_comes_to_what_the_page_says(charge: dict[str, Any], quantity: str, amount: str) -> None:
    found = Charge.model_validate(charge)
    assert str(rate(found, Decimal(quantity)).amount("USD")) == amount
    assert rounded(owed(found, int(quantity), 1, Fraction(1)), "USD") == Decimal(amount)


def test_every_model_has_an_example() -> None:
    union, _ = get_args(Price)
    models = {model.model_fields["model"].default for model in get_args(union)}
    assert {charge["price"]["model"] for charge, _, _ in examples()} == models
    assert len(models) == 6


def test_the_plan_of_the_page_comes_to_what_it_says() -> None:
    (text,) = re.findall(r"```yaml\n(plans:.*?)```", PAGE, re.DOTALL)
    (plan,) = (Plan.model_validate(found) for found in yaml.safe_load(text)["plans"])
    quantities = {"orders": 1250, "invoices": 980, "storage": 45, "api_calls": 50_000, "ai_jobs": 120}
    used = {metric: Usage(Decimal(quantity), Decimal(quantity)) for metric, quantity in quantities.items()}
    found = bill([(Segment(plan, plan.versions[0], START, END, Fraction(1)), used)])
    sums = " + ".join(str(line.amount) for line in found.lines)
    assert f"{sums} =\n**{found.total} {found.currency}**" in PAGE


def test_the_roundings_of_the_page_are_as_it_says() -> None:
    rows = ROUNDED.findall(PAGE)
    assert len(rows) == 4
    for amount, currency, half_even, half_up in rows:
        assert str(rounded(Decimal(amount), currency)) == half_even
        assert str(rounded(Decimal(amount), currency, Rounding.HALF_UP)) == half_up
