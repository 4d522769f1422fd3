"""The chain of the audit log: whatever is done to entries shows, and nothing secret is in them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterline_schemas.audit.chain import Break, Chain, Kind
from meterline_schemas.audit.entry import GENESIS, HASHED, AuditEntry, Author, Draft, decode, written
from meterline_schemas.audit.redact import CHANGED, HIDDEN, SECRET, change
from meterline_schemas.catalog import (
    ApiKey,
    Entry,
    Metric,
    Plan,
    Quota,
    StripeMeter,
    Tenant,
    TenantPlan,
    Threshold,
    Webhook,
)
from meterline_schemas.catalog.book import KINDS

AT = datetime(2026, 11, 21, 12, 0, 0, 120_000, UTC)
ROOT = Author("root", "203.0.113.7")


def chain_of(count: int) -> list[AuditEntry]:
    found: list[AuditEntry] = []
    for number in range(1, count + 1):
        draft = Draft(author=ROOT, action="quota.updated", resource_type="quota", after={"included": str(number)})
        previous = found[-1].hash if found else GENESIS
        at = AT + timedelta(seconds=number)
        found.append(written(draft, seq=number, id=f"aud_{number}", at=at, previous=previous))
    return found


def look(entries: list[AuditEntry | bytes]) -> list[Break]:
    chain, found = Chain(), list[Break]()
    for offset, entry in enumerate(entries):
        found += chain.add(offset, entry if isinstance(entry, bytes) else entry.encode())
    return found


def named(entries: list[AuditEntry | bytes]) -> list[tuple[str, int]]:
    return [(each.kind.value, each.seq) for each in look(entries)]


def rehashed(entry: AuditEntry, **changes: Any) -> AuditEntry:
    """Changed by somebody who knows how hashes are computed."""
    changed = msgspec.structs.replace(entry, **changes)
    return msgspec.structs.replace(changed, hash=changed.computed_hash())


def test_entries_as_they_were_written_are_whole_and_survive_being_read() -> None:
    entries = chain_of(5)
    assert look([*entries]) == []
    assert [decode(entry.encode()) for entry in entries] == entries
    assert entries[0].at == "2026-11-21T12:00:01.120Z"


@pytest.mark.parametrize("field", [*HASHED, "hash"])
def test_an_edited_field_shows(field: str) -> None:
    entries: list[AuditEntry | bytes] = [*chain_of(4)]
    value = json.loads(entries[1].encode())  # type: ignore[union-attr]
    value[field] = {"int": 7, "str": "x"}.get(type(value[field]).__name__, {"x": 1})
    entries[1] = msgspec.json.encode(value)
    assert named(entries)[0][0] in (Kind.EDITED, Kind.REMOVED)
    assert Kind.EDITED in {kind for kind, _seq in named(entries)}


def test_an_edited_entry_whose_hash_was_made_to_fit_shows_by_the_one_after_it() -> None:
    entries: list[AuditEntry | bytes] = [*chain_of(4)]
    entries[1] = rehashed(chain_of(4)[1], actor="key:other")
    assert named(entries) == [(Kind.UNLINKED, 3)]


def test_a_removed_entry_shows() -> None:
    first, second, third, fourth = chain_of(4)
    assert named([first, third, fourth]) == [(Kind.REMOVED, 3)]
    assert named([second, third, fourth]) == [(Kind.REMOVED, 2)]
    assert named([first, fourth]) == [(Kind.REMOVED, 4)]


def test_a_moved_entry_shows() -> None:
    first, second, third, fourth = chain_of(4)
    assert named([first, third, second, fourth]) == [(Kind.REMOVED, 3), (Kind.MISPLACED, 2)]


def test_an_entry_that_was_put_in_shows() -> None:
    first, second, third, _fourth = chain_of(4)
    forged = rehashed(second, id="aud_x", actor="key:other", previous=second.hash)
    assert named([first, second, forged, third]) == [(Kind.MISPLACED, 2)]
    assert named([first, second, rehashed(forged, seq=3), third]) == [(Kind.MISPLACED, 3)]
    assert named([first, b"no entry", second, second, third]) == [(Kind.UNREADABLE, 0), (Kind.MISPLACED, 2)]


@given(st.data())
def test_no_other_order_or_selection_of_entries_is_whole(data: st.DataObject) -> None:
    entries = chain_of(6)
    picked = data.draw(st.lists(st.integers(0, 5), min_size=1, max_size=8))
    prefix = picked == list(range(len(picked)))
    assert (look([entries[number] for number in picked]) == []) == prefix, (
        "the end alone can be cut off: heads show that"
    )


@given(
    before=st.dictionaries(st.text(), st.one_of(st.text(), st.integers(-9, 9), st.none()), max_size=4),
    texts=st.tuples(*[st.text(max_size=20)] * 5),
)
def test_what_is_written_is_what_is_read_whatever_it_is(before: dict[str, Any], texts: tuple[str, ...]) -> None:
    actor, origin, resource, tenant, action = texts
    draft = Draft(
        author=Author(actor, origin),
        action=action,
        resource_type="x",
        resource_id=resource,
        tenant_id=tenant,
        before=before,
    )
    entry = written(draft, seq=1, id="aud_1", at=AT, previous=GENESIS)
    again = decode(entry.encode())
    assert again == entry
    assert again.computed_hash() == entry.hash
    assert msgspec.json.decode(again.before) == before


def test_neighbouring_fields_cannot_lend_each_other_letters() -> None:
    entry = chain_of(1)[0]
    one = msgspec.structs.replace(entry, actor="ab", origin="c")
    other = msgspec.structs.replace(entry, actor="a", origin="bc")
    assert one.computed_hash() != other.computed_hash()


SECRET_TEXT = "whsec_" + "A" * 44
ENTRIES: list[Entry] = [
    Metric(key="orders"),
    Quota.model_validate({"metric": "orders", "tenant_id": "acme", "included": "5"}),
    Threshold.model_validate(
        {"id": "t", "metric": "orders", "tenant_id": "acme", "steps": [80], "notify_emails": ["anna@example.com"]}
    ),
    Tenant.model_validate({"id": "acme", "name": "Anna Acme"}),
    Webhook.model_validate({"id": "crm", "url": "https://example.com/hooks/token-in-path", "secret": SECRET_TEXT}),
    ApiKey.model_validate({"id": "k7f3", "name": "Anna's", "role": "viewer", "tenants": ["acme"], "hash": "0" * 64}),
    Plan.model_validate({"id": "team", "currency": "EUR", "versions": [{"base_fee": "5"}]}),
    TenantPlan.model_validate({"tenant_id": "acme", "spans": [{"start": AT.replace(microsecond=0), "plan": "team"}]}),
    StripeMeter.model_validate({"metric": "orders", "meter": "mtr_1", "event_name": "orders"}),
]
NOT_TO_BE_SAID = (SECRET_TEXT, "anna", "Anna", "token-in-path", "0" * 64)


def test_every_kind_of_the_catalog_says_what_is_secret_of_it() -> None:
    assert {entry.kind for entry in ENTRIES} == set(KINDS) == set(SECRET)
    for kind, names in SECRET.items():
        assert names <= set(KINDS[kind].model_fields), kind


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.kind)
def test_a_change_is_told_without_secrets_and_names(entry: Entry) -> None:
    made, gone = change(ROOT, None, entry), change(ROOT, entry, None)
    assert (made.action, gone.action) == (f"{entry.kind}.created", f"{entry.kind}.deleted")
    assert (made.before, gone.after) == (None, None)
    assert made.resource_id == entry.identity
    assert made.tenant_id == ("" if entry.kind in ("metric", "webhook", "plan", "stripe_meter") else "acme")
    said = json.dumps([made.after, gone.before])
    assert not [text for text in NOT_TO_BE_SAID if text in said]
    assert made.after is not None
    for name in SECRET[entry.kind]:
        assert made.after[name] in (HIDDEN, ""), "that there is one may be known"


def test_that_a_secret_was_changed_is_told() -> None:
    before = ENTRIES[4]
    after = before.model_copy(update={"secret": "whsec_" + "B" * 44})
    draft = change(ROOT, before, after)
    assert draft.action == "webhook.updated"
    assert draft.after is not None
    assert (draft.after["secret"], draft.after["url"]) == (CHANGED, HIDDEN)


def test_a_key_that_is_revoked_is_told_so() -> None:
    before = ENTRIES[5]
    revoked = before.model_copy(update={"revoked_at": AT})
    assert change(ROOT, before, revoked).action == "key.revoked"
    assert change(ROOT, revoked, revoked.model_copy(update={"name": "x"})).action == "key.updated"


def test_of_a_kind_that_is_not_listed_nothing_is_told() -> None:
    class Card(Entry):
        kind = "card"
        id: str
        card: str

        @property
        def identity(self) -> str:
            return self.id

    draft = change(ROOT, None, Card(id="p", card="4242"))
    assert draft.after == {"version": 1, "changed_at": None, "id": HIDDEN, "card": HIDDEN}
