"""Roles, keys as text, tokens' claims: pure."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterline_api.access.keys import hash_of, is_valid, new_key, principal_of, read_key
from meterline_api.access.limiter import Limiter
from meterline_api.access.principal import Principal, Right, tenants_from
from meterline_api.access.tokens import ClaimsError, Rules
from meterline_api.access.tokens import principal_of as named
from meterline_api.access.visible import may_change, may_read
from meterline_api.problems import Problem
from meterline_schemas.catalog import ApiKey, Metric, Quota, RefusedError, Tenant, Threshold, read_entry
from meterline_schemas.roles import Role

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
PEPPER = b"pepper"
RULES = Rules("https://issuer", "meterline")


def entry(secret: str = "s", **fields: object) -> ApiKey:
    given: dict[str, object] = {"id": "abcd", "role": "viewer", "tenants": ["acme"], "hash": hash_of(secret, PEPPER)}
    return read_entry(ApiKey, {**given, **fields})


def test_every_role_has_the_rights_of_its_work_and_no_other() -> None:
    rights = {role: {right for right in Right if Principal("a", role, None).may(right)} for role in Role}
    assert rights == {
        Role.PRODUCER: {Right.WRITE_EVENTS, Right.CHECK_QUOTAS, Right.READ_CATALOG},
        Role.VIEWER: {Right.READ_USAGE, Right.CHECK_QUOTAS, Right.READ_CATALOG},
        Role.FINANCE: {Right.READ_USAGE, Right.CHECK_QUOTAS, Right.READ_CATALOG, Right.MANAGE_FINANCE},
        Role.ADMIN: set(Right),
    }


def test_a_key_is_read_back_and_no_two_are_alike() -> None:
    keys = [new_key() for _ in range(100)]
    assert len({key.id for key in keys}) == len({key.secret for key in keys}) == 100
    assert [read_key(str(key)) for key in keys] == keys


@given(st.text(max_size=300))
def test_no_text_breaks_the_reader_of_keys(text: str) -> None:
    found = read_key(text)
    assert found is None or str(found) == text


def test_a_key_holds_with_its_secret_until_it_expires_or_is_revoked() -> None:
    key = new_key()
    right = entry(key.secret)
    assert is_valid(right, key, PEPPER, NOW)
    assert not is_valid(right, key._replace(secret=key.secret[:-1]), PEPPER, NOW)
    assert not is_valid(right, key, b"another pepper", NOW)
    assert is_valid(entry(key.secret, expires_at=NOW), key, PEPPER, NOW - timedelta(milliseconds=1))
    assert not is_valid(entry(key.secret, expires_at=NOW), key, PEPPER, NOW)
    assert not is_valid(entry(key.secret, revoked_at=NOW - timedelta(days=1)), key, PEPPER, NOW)


def test_a_key_is_of_some_tenants_or_of_all() -> None:
    assert principal_of(entry()).tenants == frozenset({"acme"})
    assert principal_of(entry()).only_tenant == "acme"
    assert principal_of(entry(tenants=["*"])).tenants is None
    assert principal_of(entry(tenants=["a", "b"])).only_tenant is None
    for wrong in ([], ["*", "acme"], [""], [f"{n:04}" + "名" * 200 for n in range(1000)]):
        with pytest.raises(RefusedError):
            entry(tenants=wrong)


def test_of_the_catalog_a_tenant_reads_what_it_is_metered_by() -> None:
    tenant = Principal("a", Role.VIEWER, frozenset({"acme"}))
    limit = {"id": "t", "metric": "m", "amount": "5", "notify_emails": ["a@example.com"]}
    for readable in (
        Metric(key="m"),
        Metric(key="m", tenant_id="acme"),
        read_entry(Quota, {"metric": "m", "included": 5}),
        Tenant(id="acme"),
        read_entry(Threshold, {**limit, "tenant_id": "acme"}),
    ):
        assert may_read(tenant, readable), readable
    for hidden in (
        Metric(key="m", tenant_id="other"),
        read_entry(Quota, {"metric": "m", "included": 5, "tenant_id": "other"}),
        Tenant(id="other"),
        read_entry(Threshold, limit),
        entry(tenants=["*"]),
        entry(tenants=["acme", "other"]),
    ):
        assert not may_read(tenant, hidden), hidden
    assert not may_change(tenant, Metric(key="m"))
    assert may_change(tenant, Metric(key="m", tenant_id="acme"))
    assert may_change(tenant, entry())


def test_a_token_names_role_and_tenants() -> None:
    claims = {"sub": "u", "role": "Viewer", "tenant_id": "acme"}
    assert named(claims, RULES) == Principal("token:u", Role.VIEWER, frozenset({"acme"}))
    assert named({**claims, "role": ["producer", "finance"]}, RULES).role is Role.FINANCE
    assert named({**claims, "role": "creator"}, RULES).role is Role.PRODUCER
    assert named({**claims, "tenant_id": ["a", "b"]}, RULES).tenants == frozenset({"a", "b"})
    assert named({**claims, "tenant_id": "*"}, RULES).tenants is None


@pytest.mark.parametrize(
    "wrong", [{"role": None}, {"role": "owner"}, {"role": 1}, {"tenant_id": None}, {"tenant_id": []}]
)
def test_a_token_that_names_none_is_nobody(wrong: dict[str, object]) -> None:
    with pytest.raises(ClaimsError):
        named({"sub": "u", "role": "admin", "tenant_id": "acme", **wrong}, RULES)


def test_tenants_of_a_list_with_a_star_are_all() -> None:
    assert tenants_from(["a", "*"]) is None
    assert tenants_from([]) == frozenset()


def test_a_limit_whose_storage_does_not_answer_keeps_nobody_out(caplog: pytest.LogCaptureFixture) -> None:
    limiter = Limiter("1/hour", "", "memory://")
    caller = Principal("key:a", Role.VIEWER, None)
    assert asyncio.run(limiter.take(caller)) is not None
    with pytest.raises(Problem):
        asyncio.run(limiter.take(caller))
    limiter._strategy = None  # type: ignore[assignment]
    assert [asyncio.run(limiter.take(caller)) for _ in range(3)] == [None] * 3
    assert caplog.text.count("requests are not limited") == 1
