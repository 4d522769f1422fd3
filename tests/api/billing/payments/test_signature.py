"""What was signed with one of the secrets, a short time ago and just so, is taken; nothing else is."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from meterline_api.billing.stripe.settings import StripeSettings
from meterline_api.billing.stripe.signature import SignatureError, signed, verify
from meterline_deploy.stripe_stand_in.courier import signature

TOLERANCE = 300
SECRETS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60)
BODIES = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


@given(BODIES, st.lists(SECRETS, min_size=1, max_size=4, unique=True), st.data())
def test_any_of_the_secrets_will_do_so_that_they_can_be_rotated(
    body: str, secrets: list[str], data: st.DataObject
) -> None:
    secret = data.draw(st.sampled_from(secrets))
    age = data.draw(st.integers(0, TOLERANCE - 30))
    verify(body.encode(), signature(body, secret, int(time.time()) - age), secrets, TOLERANCE)
    verify(body.encode(), signed(body, secret), secrets, TOLERANCE)


@given(BODIES, SECRETS, SECRETS, st.integers(TOLERANCE + 5, 10**9))
def test_forged_changed_and_old_ones_are_refused(body: str, secret: str, other: str, age: int) -> None:
    now = int(time.time())
    header = signature(body, secret, now)
    with pytest.raises(SignatureError):
        verify(body.encode() + b" ", header, [secret], TOLERANCE)
    with pytest.raises(SignatureError):
        verify(body.encode(), header.replace(f"t={now}", f"t={now - 1}"), [secret], TOLERANCE)
    if other != secret:
        with pytest.raises(SignatureError, match="no secret"):
            verify(body.encode(), header, [other], TOLERANCE)
    with pytest.raises(SignatureError, match="signed more than 300 s ago"):
        verify(body.encode(), signature(body, secret, now - age), [other, secret], TOLERANCE)
    with pytest.raises(SignatureError, match="METERLINE_STRIPE_WEBHOOK_SECRETS"):
        verify(body.encode(), header, [], TOLERANCE)


@given(st.binary(max_size=60), st.text(max_size=80))
def test_nonsense_is_refused_and_never_an_error(body: bytes, header: str) -> None:
    for given_ in (header, f"t={header}", f"t=1,v1={header}", f"t={int(time.time())},v1={header}"):
        with pytest.raises(SignatureError):
            verify(body, given_, ["whsec_1"], TOLERANCE)


def test_secrets_are_separated_by_commas_or_spaces() -> None:
    settings = StripeSettings(webhook_secrets=SecretStr(" whsec_new,whsec_old  whsec_new "))
    assert settings.signing_secrets == ("whsec_new", "whsec_old")
    assert "whsec" not in repr(settings)
    assert StripeSettings().signing_secrets == ()
