"""Long forms of the fault tests run with ``-m "faults or long"``; the shortened ones always."""

from __future__ import annotations

import os

import pytest


@pytest.fixture
def rounds() -> int:
    """How many rounds a storm has: METERLINE_TEST_ROUNDS, 8 in the shortened form."""
    return int(os.environ.get("METERLINE_TEST_ROUNDS", "8"))
