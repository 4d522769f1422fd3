from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import stripe

from tests.stripe.process import NOON, StandIn


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    """One process for all tests; each of them makes its own meters and customers."""
    stand_in = StandIn(tmp_path_factory.mktemp("stripe"))
    stand_in.start()
    yield stand_in
    assert stand_in.stop() == 0, stand_in.log()
    assert "Traceback" not in stand_in.log(), stand_in.log()


@pytest.fixture
def stand_in(running: StandIn) -> Iterator[StandIn]:
    """Its clock stands at noon, its settings are the default ones, and nothing fails."""
    running.freeze(NOON)
    defaults = running.control("settings")
    yield running
    running.control("faults", method="DELETE")
    running.control("settings", defaults)


@pytest.fixture
def api(stand_in: StandIn) -> stripe.StripeClient:
    return stand_in.client()


@pytest.fixture
def meter(api: stripe.StripeClient) -> Callable[..., Any]:
    """Makes a meter with an event name that no other has."""

    def make(window: str | None = "day", formula: str = "sum") -> Any:
        params: Any = {
            "display_name": "Calls",
            "event_name": f"calls-{uuid.uuid4().hex[:8]}",
            "default_aggregation": {"formula": formula},
        }
        return api.v1.billing.meters.create(params | ({"event_time_window": window} if window else {}))

    return make


@pytest.fixture
def customer(api: stripe.StripeClient) -> str:
    return api.v1.customers.create({"name": "Acme"}).id


@pytest.fixture
def send(api: stripe.StripeClient, customer: str) -> Callable[..., Any]:
    """Sends one meter event; the identifier is a new one unless given."""

    def event(meter: Any, value: object, *, at: int = NOON, identifier: str | None = None, **options: Any) -> Any:
        chosen = identifier or uuid.uuid4().hex
        return api.v1.billing.meter_events.create(
            {
                "event_name": meter.event_name,
                "identifier": chosen,
                "timestamp": at,
                "payload": {"stripe_customer_id": options.pop("of", customer), "value": str(value)},
            },
            options,  # type: ignore[arg-type]
        )

    return event
