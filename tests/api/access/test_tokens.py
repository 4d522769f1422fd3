"""Tokens of an issuer whose keys are fetched for real."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from meterline_api.access.principal import Principal
from meterline_api.access.tokens import KeySet, Rules, SharedSecret, Tokens
from meterline_schemas.roles import Role
from tests.api.access.issuer import AUDIENCE, NAME, Issuer, claims_of, issuing

RULES = Rules(NAME, AUDIENCE)
SECRET = "0123456789abcdef0123456789abcdef"
ACME = Principal("token:u1", Role.VIEWER, frozenset({"acme"}))


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuing() as made:
        yield made


def ask(reader: Tokens, *texts: str) -> list[Principal | None]:
    async def all_of_them() -> list[Principal | None]:
        return [await reader.principal(text) for text in texts]

    return asyncio.run(all_of_them())


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_a_token_of_the_issuer_is_taken(issuer: Issuer, algorithm: str) -> None:
    key = issuer.rotate(algorithm)
    assert ask(Tokens(KeySet(issuer.url), RULES), issuer.token(key)) == [ACME]


@pytest.mark.parametrize(
    "wrong",
    [
        {"exp": timedelta(minutes=-5)},
        {"exp": None},
        {"iss": "https://another.example"},
        {"iss": None},
        {"aud": "another"},
        {"aud": None},
        {"sub": None},
        {"nbf": timedelta(minutes=5)},
    ],
    ids=str,
)
def test_a_token_that_does_not_hold_is_nobody(issuer: Issuer, wrong: dict[str, Any]) -> None:
    key = issuer.rotate("ES256")
    now = datetime.now(UTC)
    claims = {name: now + value if isinstance(value, timedelta) else value for name, value in wrong.items()}
    assert ask(Tokens(KeySet(issuer.url), RULES), issuer.token(key, **claims), issuer.token(key)) == [None, ACME]


def test_no_token_chooses_how_it_is_checked(issuer: Issuer) -> None:
    key = issuer.rotate("RS256")
    reader = Tokens(KeySet(issuer.url), RULES)
    unsigned = jwt.encode(claims_of(), "", "none", {"kid": key})

    def part(content: Any) -> str:
        return (
            base64.urlsafe_b64encode(json.dumps(content, default=lambda at: int(at.timestamp())).encode())
            .decode()
            .rstrip("=")
        )

    signed = f"{part({'alg': 'HS256', 'kid': key})}.{part(claims_of())}"  # with the public key as the secret
    signature = base64.urlsafe_b64encode(hmac.digest(issuer.public_pem(key), signed.encode(), "sha256")).decode()
    changed = issuer.token(key).split(".")
    changed[1] = part(claims_of(tenant_id="*"))
    assert (
        ask(reader, unsigned, f"{signed}.{signature.rstrip('=')}", ".".join(changed), "a.b.c", "..", "") == [None] * 6
    )
    shared = Tokens(SharedSecret(SECRET), RULES)
    assert ask(shared, issuer.token(key), jwt.encode(claims_of(), SECRET, "HS256")) == [None, ACME]
    assert ask(shared, jwt.encode(claims_of(), SECRET * 2, "HS512"), jwt.encode(claims_of(), "x" * 32)) == [None, None]


def test_keys_rotate_and_strangers_do_not_make_the_server_ask(issuer: Issuer) -> None:
    clock = [1000.0]
    first = issuer.rotate("ES256")
    before, reader = issuer.token(first), Tokens(KeySet(issuer.url, lambda: clock[0]), RULES)
    second = ""

    async def walk() -> None:
        nonlocal second
        assert await reader.principal(before) == ACME
        second = issuer.rotate("ES256")
        assert await reader.principal(before) == ACME  # until the keys are read again
        clock[0] += 6
        assert await reader.principal(issuer.token(second)) == ACME
        assert await reader.principal(before) is None
        assert issuer.asked == 2
        for n in range(50):
            assert await reader.principal(jwt.encode(claims_of(), SECRET, "HS256", {"kid": f"k{n}"})) is None
            assert await reader.principal(before) is None
        assert issuer.asked == 2
        clock[0] += 301
        await asyncio.gather(*(reader.principal(issuer.token(second)) for _ in range(20)))
        assert issuer.asked == 3

    asyncio.run(walk())


def test_while_the_issuer_is_away_its_last_keys_hold(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    key = issuer.rotate("ES256")
    reader = Tokens(KeySet(issuer.url, lambda: clock[0]), RULES)

    async def walk() -> None:
        assert await reader.principal(issuer.token(key)) == ACME
        monkeypatch.setattr(issuer, "jwks", lambda: b"<html>maintenance</html>")
        clock[0] += 301
        assert await reader.principal(issuer.token(key)) == ACME

    asyncio.run(walk())
