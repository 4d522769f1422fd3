"""A company's meters at the stand-in, topics of its own, and the pusher as processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.billing.stripe.company import Company
from tests.api.billing.stripe.stand_in import StandIn
from tests.services.kafka import create_topics


@pytest.fixture(scope="package")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    stripe = StandIn(tmp_path_factory.mktemp("stripe"))
    yield stripe
    stripe.stop()


@pytest.fixture
def company(kafka: str, prefix: str, stand_in: StandIn, tmp_path: Path) -> Iterator[Company]:
    """Three tenants and two metrics, with customers and meters that no other test has."""
    create_topics(kafka, prefix, 1)
    stand_in.clear_faults()
    company = Company(kafka, prefix, stand_in, tmp_path, tenants=3)
    yield company
    company.close()
    stand_in.clear_faults()
