"""The one account: its objects, its clock and how it behaves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec

from meterline_deploy.stripe_stand_in.errors import invalid, missing
from meterline_deploy.stripe_stand_in.params import Params
from meterline_deploy.stripe_stand_in.store import Document, Store

API_VERSION: Final = "2026-10-28.endive"
Seconds = Annotated[float, msgspec.Meta(ge=0)]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the account behaves; each can be changed while it runs (``POST /_control/settings``)."""

    event_seconds: Seconds = 0.002
    """How long a meter event holds its customer and meter, an item its customer; another one is answered 429."""
    requests_per_second: Annotated[float, msgspec.Meta(gt=0)] | None = None
    """More are answered 429."""
    identifier_hours: Annotated[float, msgspec.Meta(ge=24)] = 24
    """How long a meter event's identifier is remembered; Stripe says "at least 24 hours"."""
    summary_delay: Seconds = 0
    """How old, by the clock, a meter event is before summaries have it."""
    asynchronous: bool = False
    """Accept meter events that cannot be counted with 200 and report them by a thin event, as Stripe may."""
    report_seconds: Seconds = 0.5
    """How long such errors are collected into one report."""
    finalize_seconds: Annotated[float, msgspec.Meta(ge=0, le=72 * 3600)] = 3600
    """From a subscription invoice's creation to its finalization."""
    payments: str = "succeed"
    """``succeed``, ``fail`` or ``confirm`` (the customer has to): what becomes of a payment."""
    delivery_wait: Seconds = 0.2
    """Before a webhook that was not answered 2xx is sent again; doubled each time."""
    delivery_attempts: Annotated[int, msgspec.Meta(ge=1)] = 8
    delivery_timeout: Annotated[float, msgspec.Meta(gt=0)] = 5


class Account:
    """``request`` is of the request that is being answered: its id and its idempotency key."""

    def __init__(self, store: Store, wall: Callable[[], float] = time.time) -> None:
        self.store = store
        self.request: dict[str, str | None] = {"id": None, "idempotency_key": None}
        self._wall = wall
        self._moment: float | None = None

    @contextmanager
    def acting(self, request: str | None = None, key: str | None = None) -> Iterator[None]:
        """One transaction at one moment: time stands still in it, and all of it is kept or nothing."""
        self._moment = self.instant
        self.request = {"id": request, "idempotency_key": key}
        try:
            with self.store.transaction():
                yield
        finally:
            self._moment = None

    @property
    def settings(self) -> Settings:
        return msgspec.convert(self.store.get("control", "settings") or {}, Settings)

    @property
    def instant(self) -> float:
        if self._moment is not None:
            return self._moment
        clock = self.store.get("control", "clock") or {"offset": 0.0, "frozen": None}
        return float(clock["frozen"]) if clock["frozen"] is not None else self._wall() + clock["offset"]

    @property
    def now(self) -> int:
        """Unix seconds by the account's clock."""
        return int(self.instant)

    def set_clock(self, now: float, *, frozen: bool) -> None:
        offset = now - self._wall()
        self.store.put("control", "clock", {"offset": offset, "frozen": now if frozen else None})
        self._moment = now

    def identity(self, prefix: str) -> str:
        """A new id. Ids are counted, so that a run of requests has the same ids again."""
        return f"{prefix}_{self.store.count(prefix):014d}"

    def add(self, kind: str, document: Document) -> Document:
        self.store.put(kind, document["id"], document)
        return document

    def change(self, kind: str, document: Document, **fields: Any) -> Document:
        changed = {**document, **fields}
        self.store.put(kind, document["id"], changed)
        return changed

    def the(self, kind: str, identity: str, param: str = "id", *, what: str | None = None) -> Document:
        """Raises StripeError: there is none; 404 for an address, 400 for another parameter."""
        found = self.store.get(kind, identity)
        if found is None or (found.get("deleted") and param != "id"):
            raise missing(what or kind.replace("_", " "), identity, param)
        return found


def retrieve(account: Account, params: Params) -> Document:
    """GET /v1/account."""
    params.finish()
    return {
        "id": "acct_0000000000standin",
        "object": "account",
        "business_type": "company",
        "charges_enabled": True,
        "country": "US",
        "created": 0,
        "default_currency": "usd",
        "details_submitted": True,
        "email": None,
        "metadata": {},
        "payouts_enabled": True,
        "settings": {"dashboard": {"display_name": "Stripe stand-in", "timezone": "Etc/UTC"}},
        "type": "standard",
    }


def moment(at: float) -> str:
    """RFC 3339, as the v2 API writes it."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def public(value: Any) -> Any:
    """A document without the fields that are the stand-in's own: those that begin with ``_``."""
    if isinstance(value, dict):
        return {name: public(each) for name, each in value.items() if not name.startswith("_")}
    return [public(each) for each in value] if isinstance(value, list) else value


def listed(params: Params, documents: list[Document], url: str) -> Document:
    """One page of ``documents`` (oldest first), newest first, by the cursors of ``params``, which it finishes."""
    limit = params.whole("limit", 1, 100) or 10
    after, before = params.text("starting_after"), params.text("ending_before")
    params.finish()
    if after and before:
        raise invalid("You may only specify one of these parameters: starting_after, ending_before.")
    newest = documents[::-1]
    ids = [each["id"] for each in newest]
    for name, cursor in (("starting_after", after), ("ending_before", before)):
        if cursor is not None and cursor not in ids:
            raise missing("object", cursor, name)
    if before:
        left = newest[: ids.index(before)]
        page, more = left[-limit:], len(left) > limit
    else:
        left = newest[ids.index(after) + 1 :] if after else newest
        page, more = left[:limit], len(left) > limit
    return {"object": "list", "data": page, "has_more": more, "url": url}
