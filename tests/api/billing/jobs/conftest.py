"""The topics that runs need, and no others."""

from __future__ import annotations

import pytest
from confluent_kafka.admin import NewTopic

from meterline_schemas import topics
from tests.support import cluster


@pytest.fixture
def place(kafka: str, prefix: str) -> tuple[str, str]:
    """Bootstrap servers, and the prefix of the topics."""
    made = [NewTopic(prefix + name, 1, 1) for name in (topics.RUNS, topics.AUDIT)]
    for future in cluster.admin(kafka).create_topics(made).values():
        future.result(30)
    return kafka, prefix
