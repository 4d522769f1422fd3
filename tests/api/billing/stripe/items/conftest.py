"""Tenants with customers at the stand-in, topics of their own, and the sender as processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.billing.stripe.items.register import Register
from tests.api.billing.stripe.stand_in import StandIn
from tests.services.kafka import create_topics


@pytest.fixture
def register(kafka: str, prefix: str, stand_in: StandIn, tmp_path: Path) -> Iterator[Register]:
    """Three tenants, whose customers no other test has."""
    create_topics(kafka, prefix, 1)
    stand_in.clear_faults()
    register = Register(kafka, prefix, stand_in, tmp_path, tenants=3)
    yield register
    register.stop()
    stand_in.clear_faults()
