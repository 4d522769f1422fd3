"""``Security`` as Faust takes it: TLS contexts, passwords, tokens for aiokafka."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, Final

from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaConnectionError
from faust.auth import OAuthCredentials, SASLCredentials, SSLCredentials

from meterline_schemas.errors import ConfigurationError
from meterline_streams.security import OidcToken, Password, Security, Tls, UnsecuredToken

_TIMEOUT: Final = 10.0  # seconds that a token may take
_LIFE: Final = 3600  # seconds of an unsecured token
_EARLY: Final = 0.8  # of a token's life, after which a connection gets a new one
_LARGEST: Final = 64 * 1024  # bytes of an answer with a token


def credentials(security: Security) -> Any:
    """Faust's credentials; None for a connection in the clear.

    Raises:
        ConfigurationError: a file of TLS cannot be used.
    """
    context = None if security.tls is None else tls_context(security.tls)
    match security.sasl:
        case None:
            return None if context is None else SSLCredentials(context)
        case Password(mechanism, username, password):
            return SASLCredentials(username=username, password=password, mechanism=mechanism, ssl_context=context)
        case UnsecuredToken(config):
            return OAuthCredentials(oauth_cb=_Unsecured(*_claims(config)), ssl_context=context)
        case OidcToken() as provider:
            return OAuthCredentials(oauth_cb=_Oidc(provider, tls_context(provider.tls)), ssl_context=context)


def tls_context(tls: Tls) -> ssl.SSLContext:
    """TLS 1.2 or newer, as the properties say.

    Raises:
        ConfigurationError: which property is wrong, and why; never what a file or a property holds.
    """
    try:
        folder = os.path.isdir(tls.ca_location)
        context = ssl.create_default_context(
            cafile=None if folder else tls.ca_location or None,
            capath=tls.ca_location if folder else None,
            cadata=tls.ca_pem or None,
        )
    except (OSError, ValueError) as error:
        name = "ssl.ca.location" if tls.ca_location else "ssl.ca.pem"
        raise _unusable(name, "holds no certificates that can be read", error) from None
    context.check_hostname = tls.check_certificate and tls.check_host
    if not tls.check_certificate:
        context.verify_mode = ssl.CERT_NONE
    if tls.ciphers:
        try:
            context.set_ciphers(tls.ciphers)
        except ssl.SSLError as error:
            raise _unusable("ssl.cipher.suites", "names no cipher that is known here", error) from None
    if tls.certificate:
        try:
            # a password that is given even if empty: without one OpenSSL would ask on the terminal
            context.load_cert_chain(tls.certificate, tls.key, tls.key_password)
        except (OSError, ValueError) as error:
            names = "ssl.certificate.location, ssl.key.location and ssl.key.password"
            raise _unusable(names, "do not give a certificate and its key", error) from None
    return context


class _Unsecured(AbstractTokenProvider):  # type: ignore[misc]
    def __init__(self, claims: dict[str, Any], life: int) -> None:
        self._claims = claims
        self._life = life

    async def token(self) -> str:
        now = int(time.time())
        parts = ({"alg": "none"}, {**self._claims, "iat": now, "exp": now + self._life})
        return (
            ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + "."
        )


class _Oidc(AbstractTokenProvider):  # type: ignore[misc]
    """Fetches a token when a connection needs one and the last has lived most of its life."""

    def __init__(self, provider: OidcToken, context: ssl.SSLContext) -> None:
        self._provider = provider
        self._context = context
        self._token = ""
        self._until = 0.0

    async def token(self) -> str:
        if time.monotonic() >= self._until:
            asked = time.monotonic()
            self._token, life = await asyncio.to_thread(self._fetch)
            self._until = asked + life * _EARLY
        return self._token

    def _fetch(self) -> tuple[str, float]:
        provider = self._provider
        form = {"grant_type": "client_credentials", **({"scope": provider.scope} if provider.scope else {})}
        user = f"{provider.client_id}:{provider.client_secret}".encode()
        request = urllib.request.Request(
            provider.endpoint,
            urllib.parse.urlencode(form).encode(),
            {"Authorization": "Basic " + base64.b64encode(user).decode(), "Accept": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT, context=self._context) as answer:
                found = json.loads(answer.read(_LARGEST))
            return str(found["access_token"]), float(found.get("expires_in", 0))
        except urllib.error.HTTPError as error:
            with error:
                raise self._failed(f"it answers {error.code}") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._failed(type(error).__name__) from None

    def _failed(self, why: str) -> KafkaConnectionError:
        return KafkaConnectionError(  # aiokafka says it and tries again
            f"no token for Kafka from {self._provider.endpoint}: {why}; look at sasl.oauthbearer.* in "
            "METERLINE_KAFKA_CONFIG"
        )


def _claims(config: str) -> tuple[dict[str, Any], int]:
    """``principal=x scope=a,b lifeSeconds=60`` as a token's claims and its life in seconds.

    Raises:
        ConfigurationError: another word stands there; it is not told, since it may be a slip with a secret.
    """
    pairs = dict(part.partition("=")[::2] for part in config.split())
    wrong = pairs.keys() - {"principal", "principalClaimName", "scope", "scopeClaimName", "lifeSeconds"}
    if wrong or not pairs.get("principal") or not pairs.get("lifeSeconds", "1").isdigit():
        raise ConfigurationError(
            "METERLINE_KAFKA_CONFIG: sasl.oauthbearer.config must be principal=NAME, and may have "
            "principalClaimName=, scope=, scopeClaimName= and lifeSeconds= beside it"
        )
    claims: dict[str, Any] = {pairs.get("principalClaimName", "sub"): pairs["principal"]}
    if "scope" in pairs:
        claims[pairs.get("scopeClaimName", "scope")] = pairs["scope"].split(",")
    return claims, int(pairs.get("lifeSeconds", _LIFE))


def _unusable(name: str, what: str, error: Exception) -> ConfigurationError:
    why = error.strerror if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) else type(error).__name__
    return ConfigurationError(f"METERLINE_KAFKA_CONFIG: {name} {what} ({why})")
