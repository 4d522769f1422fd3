"""Events: what happened, kept to be asked for, and a delivery to each destination that wants it."""

from __future__ import annotations

import json
import time
from typing import Any

from meterline_deploy.stripe_stand_in import destinations
from meterline_deploy.stripe_stand_in.account import API_VERSION, Account, listed, moment, public
from meterline_deploy.stripe_stand_in.params import Params
from meterline_deploy.stripe_stand_in.store import Document


def snapshot(account: Account, kind: str, document: Document) -> None:
    """An event that carries the document as it is now."""
    wanted = destinations.wanting(account, kind, "snapshot")
    event = account.add("event", {
        "id": account.identity("evt"), "object": "event", "api_version": API_VERSION, "created": account.now,
        "data": {"object": public(document)}, "livemode": False, "pending_webhooks": len(wanted),
        "request": dict(account.request), "type": kind,
    })  # fmt: skip
    deliver(account, event, event["id"], wanted)


def thin(account: Account, kind: str, related: dict[str, str] | None, data: dict[str, Any]) -> None:
    """An event that is only announced; its data is asked for."""
    notice: Document = {
        "id": account.identity("evt_test"), "object": "v2.core.event", "type": kind, "created": moment(account.instant),
        "livemode": False, "context": None, "reason": None,
        **({"related_object": related} if related else {}),
    }  # fmt: skip
    account.add("thin_event", {**notice, "changes": None, "data": data})
    deliver(account, notice, notice["id"], destinations.wanting(account, kind, "thin"))


def deliver(account: Account, body: Document, event: str, wanted: list[str]) -> None:
    for destination in wanted:
        identity = account.identity("delivery")
        account.add("delivery", {
            "id": identity, "event": event, "destination": destination, "body": json.dumps(body), "state": "pending",
            "attempts": 0, "due": time.time(), "answer": None,
        })  # fmt: skip


def retrieve(account: Account, params: Params, event: str) -> Document:
    params.finish()
    return account.the("event", event)


def retrieve_thin(account: Account, params: Params, event: str) -> Document:
    params.finish()
    return account.the("thin_event", event, what="event")


def listing(account: Account, params: Params) -> Document:
    kind = params.text("type")
    kinds = params.texts("types")
    events = [each for each in account.store.every("event") if not kind or each["type"] == kind]
    return listed(params, [each for each in events if not kinds or each["type"] in kinds], "/v1/events")
