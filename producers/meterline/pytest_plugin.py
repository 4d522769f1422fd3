"""The pytest fixture ``meterline_producer``. Every run of pytest imports this: it loads the rest when it is used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

import pytest

if TYPE_CHECKING:
    from meterline.producer import UsageProducer
    from meterline.testing import InMemoryProducer


@pytest.fixture
def meterline_producer() -> Iterator[InMemoryProducer]:
    """A producer in memory, which is the process's own (``default_producer()``) during the test."""
    from meterline import tracker
    from meterline.testing import InMemoryProducer

    before = tracker._default
    producer = InMemoryProducer()
    tracker._default = cast("UsageProducer", producer)
    try:
        yield producer
    finally:
        tracker._default = before
