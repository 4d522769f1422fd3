"""METERLINE_KAFKA_CONFIG for Faust: librdkafka's properties of SASL and TLS, understood or refused by name.

Everything else of a worker speaks to Kafka through librdkafka; only Faust's consumer does so through aiokafka, which
has other words for the same. What aiokafka cannot do ends the start: no property of security is passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final

from meterline_schemas.errors import ConfigurationError

PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")

_VARIABLE: Final = "METERLINE_KAFKA_CONFIG"
_PREFIXES: Final = ("security.", "sasl.", "ssl.", "enable.ssl.", "enable.sasl.", "https.")
_KNOWN: Final = frozenset(
    {
        "security.protocol",
        "sasl.mechanism",
        "sasl.mechanisms",
        "sasl.username",
        "sasl.password",
        "sasl.oauthbearer.method",
        "sasl.oauthbearer.config",
        "sasl.oauthbearer.client.id",
        "sasl.oauthbearer.client.secret",
        "sasl.oauthbearer.scope",
        "sasl.oauthbearer.token.endpoint.url",
        "enable.sasl.oauthbearer.unsecure.jwt",
        "https.ca.location",
        "https.ca.pem",
        "ssl.ca.location",
        "ssl.ca.pem",
        "ssl.certificate.location",
        "ssl.key.location",
        "ssl.key.password",
        "ssl.cipher.suites",
        "ssl.endpoint.identification.algorithm",
        "enable.ssl.certificate.verification",
    }
)
_INSTEAD: Final = {
    "ssl.certificate.pem": "put the certificate into a file and name it in ssl.certificate.location",
    "ssl.key.pem": "put the key into a file and name it in ssl.key.location",
    "ssl.keystore.location": "use ssl.certificate.location and ssl.key.location",
    "ssl.keystore.password": "use ssl.certificate.location and ssl.key.location",
}
_BOOLEANS: Final = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


@dataclass(frozen=True)
class Tls:
    """``ca_location`` and ``ca_pem`` empty: the certificates that the system trusts."""

    ca_location: str = ""
    ca_pem: str = field(default="", repr=False)
    certificate: str = ""
    key: str = ""
    key_password: str = field(default="", repr=False)
    ciphers: str = ""
    check_host: bool = True
    check_certificate: bool = True


@dataclass(frozen=True)
class Password:
    """For PLAIN and SCRAM."""

    mechanism: str
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class UnsecuredToken:
    """OAUTHBEARER with a token that is not signed; ``config`` is ``principal=… scope=…``. For tests."""

    config: str = field(repr=False)


@dataclass(frozen=True)
class OidcToken:
    """OAUTHBEARER with a token from an OpenID Connect provider, by client credentials."""

    endpoint: str
    client_id: str
    client_secret: str = field(repr=False)
    scope: str = ""
    tls: Tls = Tls()


@dataclass(frozen=True)
class Security:
    """How a connection is made: in the clear where both are None."""

    tls: Tls | None = None
    sasl: Password | UnsecuredToken | OidcToken | None = None


def security_of(properties: Mapping[str, str]) -> Security:
    """What librdkafka's properties mean for another client.

    Raises:
        ConfigurationError: a property of security is not known or has no equal; its value is not told.
    """
    for name in sorted(properties):
        if name.startswith(_PREFIXES) and name not in _KNOWN:
            close = get_close_matches(name, sorted(_KNOWN), n=1, cutoff=0.85)
            advice = f"did you mean {close[0]}?" if close else f"it takes {', '.join(sorted(_KNOWN))}"
            raise _wrong(name, f"is not supported by the stream worker; {_INSTEAD.get(name, advice)}")
    protocol = _choice(properties, "security.protocol", PROTOCOLS, "PLAINTEXT")
    return Security(
        _tls(properties) if protocol.endswith("SSL") else None,
        _sasl(properties) if protocol.startswith("SASL") else None,
    )


def unused(properties: Mapping[str, str]) -> list[str]:
    """Names of properties that only librdkafka's clients use."""
    return sorted(name for name in properties if not name.startswith(_PREFIXES) and name != "bootstrap.servers")


def _tls(properties: Mapping[str, str]) -> Tls:
    certificate, key = properties.get("ssl.certificate.location", ""), properties.get("ssl.key.location", "")
    if bool(certificate) != bool(key):
        name = "ssl.key.location" if certificate else "ssl.certificate.location"
        raise _wrong(name, "is missing: a client's certificate and its key go together")
    ca_location = properties.get("ssl.ca.location", "")
    return Tls(
        ca_location="" if ca_location == "probe" else ca_location,
        ca_pem=properties.get("ssl.ca.pem", ""),
        certificate=certificate,
        key=key,
        key_password=properties.get("ssl.key.password", ""),
        ciphers=properties.get("ssl.cipher.suites", ""),
        check_host=_choice(properties, "ssl.endpoint.identification.algorithm", ("HTTPS", "NONE"), "HTTPS") == "HTTPS",
        check_certificate=_boolean(properties, "enable.ssl.certificate.verification", default=True),
    )


def _sasl(properties: Mapping[str, str]) -> Password | UnsecuredToken | OidcToken:
    name = "sasl.mechanisms" if "sasl.mechanisms" in properties else "sasl.mechanism"
    # without one librdkafka means GSSAPI
    mechanism = _choice(properties, name, MECHANISMS, "")
    if mechanism == "OAUTHBEARER":
        return _token(properties)
    for needed in ("sasl.username", "sasl.password"):
        if not properties.get(needed):
            raise _wrong(needed, f"is missing: {mechanism} needs it")
    return Password(mechanism, properties["sasl.username"], properties["sasl.password"])


def _token(properties: Mapping[str, str]) -> UnsecuredToken | OidcToken:
    if _choice(properties, "sasl.oauthbearer.method", ("DEFAULT", "OIDC"), "DEFAULT") == "DEFAULT":
        if not _boolean(properties, "enable.sasl.oauthbearer.unsecure.jwt", default=False):
            raise _wrong("sasl.oauthbearer.method", "is missing: write oidc, which is where a worker gets tokens from")
        return UnsecuredToken(properties.get("sasl.oauthbearer.config", ""))
    named = {key: properties.get(f"sasl.oauthbearer.{key}", "") for key in ("client.id", "client.secret")}
    endpoint = properties.get("sasl.oauthbearer.token.endpoint.url", "")
    for key, value in {**named, "token.endpoint.url": endpoint}.items():
        if not value:
            raise _wrong(f"sasl.oauthbearer.{key}", "is missing: oidc needs it")
    if not endpoint.startswith(("https://", "http://")):
        raise _wrong("sasl.oauthbearer.token.endpoint.url", "must start with https:// (or http://)")
    https = Tls(ca_location=properties.get("https.ca.location", ""), ca_pem=properties.get("https.ca.pem", ""))
    return OidcToken(
        endpoint, named["client.id"], named["client.secret"], properties.get("sasl.oauthbearer.scope", ""), https
    )


def _choice(properties: Mapping[str, str], name: str, choices: tuple[str, ...], default: str) -> str:
    value = properties.get(name, default).upper()
    if value not in choices:
        what = "is not one that the stream worker supports" if value else "is missing"
        raise _wrong(name, f"{what}: choose {', '.join(choices)}")
    return value


def _boolean(properties: Mapping[str, str], name: str, *, default: bool) -> bool:
    value = properties.get(name)
    if value is None:
        return default
    if value.lower() not in _BOOLEANS:
        raise _wrong(name, "must be true or false")
    return _BOOLEANS[value.lower()]


def _wrong(name: str, what: str) -> ConfigurationError:
    return ConfigurationError(f"{_VARIABLE}: {name} {what}")
