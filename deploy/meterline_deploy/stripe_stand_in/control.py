"""The stand-in's own addresses, under /_control: clock, settings, faults, and everything it knows."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import msgspec

from meterline_deploy.stripe_stand_in import cycles, meter_errors, meter_events
from meterline_deploy.stripe_stand_in.account import Account, Settings
from meterline_deploy.stripe_stand_in.faults import Chance, Fault, Faults
from meterline_deploy.stripe_stand_in.usage import WINDOWS, amount, grouped, standing


class Clock(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``now`` in Unix seconds, or ``advance`` from what it is; ``frozen`` it stands there, else it runs on."""

    now: float | None = None
    advance: float = 0
    frozen: bool | None = None


@dataclass
class Control:
    """``requests`` are the latest: when (monotonic seconds), what, under which key, and the answer's status."""

    account: Account
    faults: Faults = field(default_factory=Faults)
    requests: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=200_000))

    def answer(self, method: str, path: str, body: bytes) -> dict[str, Any] | None:
        """None for an address that there is not. Raises ValueError for a body of another shape."""
        account = self.account
        match method, path:
            case "GET", "/_control/state":
                return state(account)
            case "GET", "/_control/requests":
                return {"requests": list(self.requests)}
            case "GET", "/_control/deliveries":
                return {"deliveries": account.store.every("delivery")}
            case "GET", "/_control/settings":
                return msgspec.to_builtins(account.settings)  # type: ignore[no-any-return]
            case "POST", "/_control/settings":
                given = msgspec.json.decode(body, type=dict[str, Any])
                wanted = msgspec.convert({**msgspec.to_builtins(account.settings), **given}, Settings)
                if wanted.payments not in ("succeed", "fail", "confirm"):
                    raise ValueError("payments must be succeed, fail or confirm")
                with account.acting():
                    account.store.put("control", "settings", msgspec.to_builtins(wanted))
                return msgspec.to_builtins(wanted)  # type: ignore[no-any-return]
            case "POST", "/_control/clock":
                return self._clock(msgspec.json.decode(body, type=Clock))
            case "POST", "/_control/reports":
                with account.acting():
                    meter_errors.report(account, at_once=True)
                return {}
            case "POST", "/_control/deliveries":
                return self._again(msgspec.json.decode(body, type=dict[str, str]).get("event", ""))
            case "POST", "/_control/faults":
                self.faults.add(msgspec.json.decode(body, type=Fault))
                return {"struck": self.faults.struck}
            case "POST", "/_control/faults/random":
                self.faults.by_chance(msgspec.json.decode(body, type=Chance))
                return {"struck": self.faults.struck}
            case "GET", "/_control/faults":
                return {"struck": self.faults.struck}
            case "DELETE", "/_control/faults":
                self.faults.clear()
                return {}
        return None

    def _clock(self, wanted: Clock) -> dict[str, Any]:
        account = self.account
        now = account.instant if wanted.now is None else wanted.now
        frozen = (account.store.get("control", "clock") or {"frozen": None})["frozen"] is not None
        with account.acting():
            account.set_clock(now + wanted.advance, frozen=frozen if wanted.frozen is None else wanted.frozen)
            cycles.run(account)
        return {"now": account.instant}

    def _again(self, event: str) -> dict[str, Any]:
        """Send an event's webhooks again, as Stripe may at any time."""
        found = [each for each in self.account.store.every("delivery") if each["event"] == event]
        with self.account.acting():
            for each in found:
                self.account.change("delivery", each, state="pending", attempts=0, due=time.time())
        return {"sent": len(found)}


def state(account: Account) -> dict[str, Any]:
    """Each meter's value of each customer and UTC day, and every meter event that was counted, as it was received."""
    events = account.store.every("meter_event")
    values = []
    for meter_id, customer in dict.fromkeys((each["meter"], each["customer"]) for each in events):
        meter = account.the("meter", meter_id)
        formula = meter["default_aggregation"]["formula"]
        stand = standing(meter_events.readings(account, meter_id, customer), meter["event_time_window"])
        for day, readings in grouped(stand, WINDOWS["day"]).items():
            values.append({
                "customer": customer, "meter": meter_id, "event_name": meter["event_name"], "day": day,
                "value": amount(readings, formula),
            })  # fmt: skip
    shown = ("order", "identifier", "event_name", "meter", "customer", "value", "timestamp", "received", "cancelled")
    return {
        "now": account.instant,
        "values": values,
        "events": [{name: each[name] for name in shown} for each in events],
        "uncounted": account.store.every("meter_error"),
    }
