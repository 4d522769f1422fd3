"""API keys, tokens, tenants and limits, over HTTP to real processes."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jwt
import pytest

from meterline_schemas.kafka_log import KafkaLog
from tests.api.access.issuer import AUDIENCE, NAME, Issuer, claims_of, issuing
from tests.api.process import ApiProcess
from tests.producers.reading import events
from tests.services.kafka import create_topics
from tests.support.streams import wait_until


@pytest.fixture(scope="module")
def prefix() -> str:
    return f"keys-{uuid.uuid4().hex[:8]}."


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with issuing() as made:
        made.rotate("ES256")
        yield made


@pytest.fixture(scope="module")
def apis(
    kafka: str, prefix: str, issuer: Issuer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ApiProcess, ApiProcess]]:
    """Two processes of one installation, without ClickHouse. The second allows few requests."""
    create_topics(kafka, prefix, 4)
    token = {"API_JWT_JWKS_URL": issuer.url, "API_JWT_ISSUER": NAME, "API_JWT_AUDIENCE": AUDIENCE}
    limits = {"API_CALLER_LIMIT": "20/hour", "API_TENANT_LIMIT": "30/hour"}
    first = ApiProcess(kafka, prefix, None, tmp_path_factory.mktemp("one"), **token)
    second = ApiProcess(kafka, prefix, None, tmp_path_factory.mktemp("two"), **limits)
    try:
        first.start()
        second.start()
        yield first, second
    finally:
        assert first.stop() == 0
        assert second.stop() == 0


@pytest.fixture(scope="module")
def api(apis: tuple[ApiProcess, ApiProcess]) -> ApiProcess:
    return apis[0]


def make(api: ApiProcess, role: str = "viewer", tenants: tuple[str, ...] = ("acme",), **more: Any) -> dict[str, Any]:
    answer = api.client.post("/v1/keys", json={"role": role, "tenants": list(tenants), **more})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def call(api: ApiProcess, key: str, method: str, path: str, **more: Any) -> httpx.Response:
    url = api.client.base_url.join(path)
    return httpx.request(method, url, headers={"Authorization": f"Bearer {key}"}, trust_env=False, timeout=30, **more)


def status(api: ApiProcess, key: str) -> int:
    return call(api, key, "GET", "/v1/caller").status_code


def test_a_key_is_shown_once_and_kept_as_a_hash(api: ApiProcess, kafka: str, prefix: str) -> None:
    made = make(api, name="orders service")
    assert call(api, made["key"], "GET", "/v1/caller").json() == {
        "actor": f"key:{made['id']}",
        "role": "viewer",
        "tenants": ["acme"],
        "rights": ["CHECK_QUOTAS", "READ_CATALOG", "READ_USAGE"],
    }
    secret = made["key"].rpartition("_")[2]
    one = api.client.get(f"/v1/keys/{made['id']}")
    assert one.json() == {name: value for name, value in made.items() if name != "key"}
    assert one.json() in api.client.get("/v1/keys", params={"limit": 1000}).json()["data"]
    log = KafkaLog({"bootstrap.servers": kafka}, prefix + "meterline.config", 0, timeout=30)
    written = b"".join(record.value or b"" for record in log.read_to_end())
    log.close()
    assert made["id"].encode() in written
    assert secret.encode() not in written + one.content + api.log().encode()


def test_a_revoked_key_is_refused_by_every_process(apis: tuple[ApiProcess, ApiProcess]) -> None:
    first, second = apis
    made = make(first)
    wait_until(lambda: status(second, made["key"]) == 200, 30, "the other process knows the key")
    assert second.client.delete(f"/v1/keys/{made['id']}").status_code == 204
    assert status(second, made["key"]) == 401
    wait_until(lambda: status(first, made["key"]) == 401, 30, "the first process refuses it")
    revoked_at = first.client.get(f"/v1/keys/{made['id']}").json()["revoked_at"]
    assert revoked_at is not None
    assert first.client.delete(f"/v1/keys/{made['id']}").status_code == 204
    assert first.client.get(f"/v1/keys/{made['id']}").json()["revoked_at"] == revoked_at


def test_a_key_expires(api: ApiProcess) -> None:
    made = make(api, expires_at=(datetime.now(UTC) + timedelta(seconds=2)).isoformat())
    assert status(api, made["key"]) == 200
    wait_until(lambda: status(api, made["key"]) == 401, 30, "the key has expired")
    past = {"role": "viewer", "tenants": ["a"], "expires_at": "2020-01-01T00:00:00Z"}
    assert api.client.post("/v1/keys", json=past).status_code == 422


def test_a_wrong_key_is_nobody(api: ApiProcess) -> None:
    made = make(api)
    _mk, id, secret = made["key"].split("_")
    other = make(api)["key"].rpartition("_")[2]
    for wrong in (f"mk_{id}_{other}", f"mk_{id}_", f"mk_{id}", f"mk__{secret}", secret, made["key"] + "0", "ä"):
        answer = httpx.get(
            api.client.base_url.join("/v1/caller"),
            headers={b"Authorization": b"Bearer " + wrong.encode("latin-1")},
            trust_env=False,
        )
        assert answer.status_code == 401, wrong
        assert answer.json()["code"] == "unauthorized"


@pytest.mark.parametrize(
    "wrong",
    [
        {"role": "owner", "tenants": ["a"]},
        {"role": "viewer", "tenants": []},
        {"role": "viewer", "tenants": ["*", "a"]},
        {"role": "viewer"},
        {"tenants": ["a"]},
        {"role": "viewer", "tenants": ["a"], "hash": "0" * 64},
        {"role": "viewer", "tenants": ["a"], "expires_at": "tomorrow"},
    ],
    ids=str,
)
def test_a_wrong_wish_for_a_key_is_a_problem_that_says_what(api: ApiProcess, wrong: dict[str, Any]) -> None:
    answer = api.client.post("/v1/keys", json=wrong)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"]


def test_nobody_makes_a_key_that_reaches_further_than_they_do(api: ApiProcess) -> None:
    admin = make(api, "admin")["key"]
    for tenants in (["*"], ["other"], ["acme", "other"]):
        answer = call(api, admin, "POST", "/v1/keys", json={"role": "viewer", "tenants": tenants})
        assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")
    mine = call(api, admin, "POST", "/v1/keys", json={"role": "viewer", "tenants": ["acme"]})
    assert mine.status_code == 201
    other = make(api, tenants=("other",))["id"]
    assert call(api, admin, "DELETE", f"/v1/keys/{other}").status_code == 404
    seen = call(api, admin, "GET", "/v1/keys", params={"limit": 1000}).json()["data"]
    assert {tenant for key in seen for tenant in key["tenants"]} == {"acme"}


def test_events_of_another_tenant_are_refused_and_the_others_are_taken(
    api: ApiProcess, kafka: str, prefix: str
) -> None:
    key = make(api, "producer")["key"]
    mine, foreign = ({"id": uuid.uuid4().hex, "tenant_id": t, "metric": "m", "quantity": 1} for t in ("acme", "other"))
    answer = call(api, key, "POST", "/v1/events", json=[mine, foreign])
    assert answer.status_code == 202
    assert [(event["status"], event.get("reason")) for event in answer.json()["events"]] == [
        ("accepted", None),
        ("refused", "permission_denied"),
    ]
    alone = call(api, key, "POST", "/v1/events", json=foreign)
    assert (alone.status_code, alone.json()["code"]) == (403, "permission_denied")
    sent = {event["id"] for event in events(kafka, prefix)}
    assert mine["id"] in sent
    assert foreign["id"] not in sent


def test_a_token_of_the_issuer_may_what_it_says(api: ApiProcess, issuer: Issuer) -> None:
    (key,) = issuer.published
    assert call(api, issuer.token(key), "GET", "/v1/caller").json()["actor"] == "token:u1"
    assert status(api, issuer.token(key, exp=datetime.now(UTC) - timedelta(hours=1))) == 401
    assert status(api, jwt.encode(claims_of(), "x" * 32, "HS256", {"kid": key})) == 401
    nobody = call(api, issuer.token(key, role=None), "GET", "/v1/caller")
    assert (nobody.status_code, nobody.json()["code"]) == (403, "permission_denied")
    refused = call(api, issuer.token(key), "GET", "/v1/keys")
    assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")


def test_a_caller_and_a_tenant_have_limits_and_are_told(apis: tuple[ApiProcess, ApiProcess]) -> None:
    first, limited = apis
    tenant = uuid.uuid4().hex
    one, two = (make(first, tenants=(tenant,)) for _ in range(2))
    wait_until(lambda: status(limited, two["key"]) == 200, 30, "the keys are known")
    for left in range(19, -1, -1):
        answer = call(limited, one["key"], "GET", "/v1/caller")
        assert answer.status_code == 200
        assert answer.headers["ratelimit-limit"] == "20"
        assert int(answer.headers["ratelimit-remaining"]) == left
    over = call(limited, one["key"], "GET", "/v1/caller")
    assert (over.status_code, over.json()["code"]) == (429, "rate_limited")
    assert 0 < int(over.headers["retry-after"]) <= 3600
    assert over.headers["ratelimit-remaining"] == "0"
    answers = [status(limited, two["key"]) for _ in range(15)]
    assert 200 in answers  # a key of its own
    assert answers[-1] == 429  # and a tenant in common
    assert limited.client.get("/v1/caller").status_code == 200  # whoever could change the limits has none


def test_a_request_counts_once_however_many_rights_its_route_needs(apis: tuple[ApiProcess, ApiProcess]) -> None:
    first, limited = apis
    made = make(first, "finance", tenants=(uuid.uuid4().hex,))
    wait_until(lambda: status(limited, made["key"]) == 200, 30, "the key is known")
    before = call(limited, made["key"], "GET", "/v1/caller").headers["ratelimit-remaining"]
    refused = call(limited, made["key"], "POST", "/v1/usage/aggregate", json={})
    assert refused.status_code == 422
    assert int(refused.headers["ratelimit-remaining"]) == int(before) - 1


def test_a_key_may_have_a_limit_of_its_own(apis: tuple[ApiProcess, ApiProcess]) -> None:
    first, limited = apis
    made = make(first, tenants=("*",), requests_per_second=100_000)
    wait_until(lambda: status(limited, made["key"]) == 200, 30, "the key is known")
    assert {status(limited, made["key"]) for _ in range(25)} == {200}


def test_the_documentation_asks_nobody_outside(api: ApiProcess) -> None:
    page = api.client.get("/docs").text
    assert "http://" not in page
    assert "https://" not in page
    named = [part.split('"')[0] for part in page.split('src="')[1:] + page.split('href="')[1:]]
    assert named
    for path in named:
        assert api.client.get(path).status_code == 200, path
    assert json.loads(api.client.get("/openapi.json").text)["info"]["title"] == "Meterline"
