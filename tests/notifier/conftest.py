"""Notifiers on the real broker, and receivers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.notifier.harness import Notifiers
from tests.notifier.receiver import Receiver, receiving


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def other() -> Iterator[Receiver]:
    """A second receiver."""
    with receiving() as found:
        yield found


@pytest.fixture
def notifiers(kafka: str, prefix: str, tmp_path: Path) -> Iterator[Notifiers]:
    made = Notifiers(kafka, prefix, tmp_path)
    try:
        yield made
    finally:
        made.close()
