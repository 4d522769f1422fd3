"""A broker of its own with listeners for SASL and TLS."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.security.ways import Way, token_server, ways
from tests.services.secure_kafka import SecureBroker


@pytest.fixture(scope="session")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureBroker]:
    server = SecureBroker(tmp_path_factory.mktemp("secure"))
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def connections(secure: SecureBroker) -> Iterator[dict[str, Way]]:
    """Every way to connect, by its name."""
    with token_server(iter(lambda: int(time.time()), -1)) as endpoint:
        yield ways(secure, endpoint)
