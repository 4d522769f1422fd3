"""Where events go: webhook endpoints (v1, snapshots) and event destinations (v2, thin or snapshots)."""

from __future__ import annotations

import secrets
from typing import Any
from urllib.parse import quote, urlsplit

from meterline_deploy.stripe_stand_in.account import Account, listed, moment, public
from meterline_deploy.stripe_stand_in.customers import without_empty
from meterline_deploy.stripe_stand_in.errors import invalid
from meterline_deploy.stripe_stand_in.params import Params
from meterline_deploy.stripe_stand_in.store import Document


def address(params: Params, name: str) -> str:
    url = params.must(name)
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise invalid(
            "Invalid URL: an explicit scheme (such as https) must be provided.", params.name(name), "url_invalid"
        )
    return url


def secret() -> str:
    return f"whsec_{secrets.token_hex(24)}"


def create_endpoint(account: Account, params: Params) -> Document:
    """The answer alone has the secret."""
    params.needed("url", "enabled_events")
    url, enabled = address(params, "url"), params.texts("enabled_events")
    description, metadata, version = params.text("description"), params.mapping("metadata"), params.text("api_version")
    params.finish()
    document = account.add("webhook_endpoint", {
        "id": account.identity("we"), "object": "webhook_endpoint", "api_version": version, "application": None,
        "created": account.now, "description": description, "enabled_events": enabled, "livemode": False,
        "metadata": metadata, "status": "enabled", "url": url, "_payload": "snapshot", "_secret": secret(),
    })  # fmt: skip
    return {**document, "secret": document["_secret"]}


def retrieve_endpoint(account: Account, params: Params, endpoint: str) -> Document:
    params.finish()
    return account.the("webhook_endpoint", endpoint)


def update_endpoint(account: Account, params: Params, endpoint: str) -> Document:
    found = account.the("webhook_endpoint", endpoint)
    url = address(params, "url") if params.has("url") else found["url"]
    enabled = params.texts("enabled_events") or found["enabled_events"]
    disabled = params.flag("disabled")
    status = found["status"] if disabled is None else "disabled" if disabled else "enabled"
    metadata = without_empty({**found["metadata"], **params.mapping("metadata")})
    params.finish()
    return account.change("webhook_endpoint", found, url=url, enabled_events=enabled, status=status, metadata=metadata)


def delete_endpoint(account: Account, params: Params, endpoint: str) -> Document:
    params.finish()
    account.the("webhook_endpoint", endpoint)
    account.store.delete("webhook_endpoint", endpoint)
    return {"id": endpoint, "object": "webhook_endpoint", "deleted": True}


def list_endpoints(account: Account, params: Params) -> Document:
    return listed(params, account.store.every("webhook_endpoint"), "/v1/webhook_endpoints")


def create_destination(account: Account, params: Params) -> Document:
    params.needed("name", "type", "event_payload", "enabled_events", "webhook_endpoint")
    name, payload = params.must("name"), params.choice("event_payload", "snapshot", "thin")
    params.choice("type", "webhook_endpoint")
    enabled, included = params.texts("enabled_events"), params.texts("include")
    description, metadata = params.text("description"), params.mapping("metadata")
    params.text("snapshot_api_version")
    url = address(params.group("webhook_endpoint"), "url")
    params.finish()
    made = moment(account.instant)
    document = account.add("event_destination", {
        "id": account.identity("ed_test"), "object": "v2.core.event_destination", "created": made,
        "description": description or "", "enabled_events": enabled, "event_payload": payload, "events_from": ["@self"],
        "livemode": False, "metadata": metadata, "name": name, "status": "enabled", "status_details": None,
        "type": "webhook_endpoint", "updated": made, "url": url, "_payload": payload, "_secret": secret(),
    })  # fmt: skip
    return destination(document, included)


def retrieve_destination(account: Account, params: Params, destination_: str) -> Document:
    included = params.texts("include")
    params.finish()
    return destination(account.the("event_destination", destination_, what="event destination"), included)


def list_destinations(account: Account, params: Params) -> Document:
    included, limit, start = params.texts("include"), params.whole("limit", 1, 100) or 20, params.whole("page", 0) or 0
    params.finish()
    found = [destination(each, included) for each in account.store.every("event_destination")]
    wanted = "".join(f"&include[{n}]={quote(each)}" for n, each in enumerate(included))
    url = f"/v2/core/event_destinations?limit={limit}{wanted}&page="
    return {
        "data": found[start : start + limit],
        "next_page_url": f"{url}{start + limit}" if len(found) > start + limit else None,
        "previous_page_url": f"{url}{max(start - limit, 0)}" if start else None,
    }


def disable_destination(account: Account, params: Params, destination_: str) -> Document:
    return switched(account, params, destination_, "disabled")


def enable_destination(account: Account, params: Params, destination_: str) -> Document:
    return switched(account, params, destination_, "enabled")


def switched(account: Account, params: Params, destination_: str, status: str) -> Document:
    params.finish()
    found = account.the("event_destination", destination_, what="event destination")
    details = {"disabled": {"reason": "user"}} if status == "disabled" else None
    changed = moment(account.instant)
    return destination(
        account.change("event_destination", found, status=status, status_details=details, updated=changed), []
    )


def destination(document: Document, included: list[str]) -> Document:
    shown: dict[str, Any] = {name: each for name, each in public(document).items() if name != "url"}
    secret_ = document["_secret"] if "webhook_endpoint.signing_secret" in included else None
    url = document["url"] if "webhook_endpoint.url" in included else None
    return {**shown, "webhook_endpoint": {"signing_secret": secret_, "url": url}}


def wanting(account: Account, kind: str, payload: str) -> list[str]:
    """The destinations, by kind and id, that events of this kind go to."""
    return [
        f"{place}/{each['id']}"
        for place in ("webhook_endpoint", "event_destination")
        for each in account.store.every(place)
        if each["status"] == "enabled" and each["_payload"] == payload and {kind, "*"} & set(each["enabled_events"])
    ]
