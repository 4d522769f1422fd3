"""What librdkafka's properties of security mean for the stream worker's consumer."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from meterline_schemas.errors import ConfigurationError
from meterline_schemas.settings import KafkaSettings
from meterline_streams.credentials import credentials, tls_context
from meterline_streams.security import OidcToken, Password, Security, Tls, UnsecuredToken, security_of, unused
from tests.services.certificates import Authority

SASL = {"security.protocol": "SASL_PLAINTEXT", "sasl.username": "u", "sasl.password": "p"}
TOKEN = {"security.protocol": "sasl_ssl", "sasl.mechanism": "OAUTHBEARER"}
OIDC = {
    **TOKEN,
    "sasl.oauthbearer.method": "OIDC",
    "sasl.oauthbearer.client.id": "id",
    "sasl.oauthbearer.client.secret": "secret",
    "sasl.oauthbearer.scope": "usage",
    "sasl.oauthbearer.token.endpoint.url": "https://login/token",
    "https.ca.location": "/ca.pem",
}


@pytest.mark.parametrize(
    ("properties", "meant"),
    [
        ({}, Security()),
        ({"security.protocol": "plaintext", "sasl.password": "unused"}, Security()),
        ({"security.protocol": "SSL"}, Security(Tls())),
        ({"security.protocol": "ssl", "ssl.ca.location": "probe"}, Security(Tls())),
        (
            {
                "security.protocol": "SSL",
                "ssl.ca.location": "/ca.pem",
                "ssl.certificate.location": "/c.pem",
                "ssl.key.location": "/k.pem",
                "ssl.key.password": "p",
                "ssl.cipher.suites": "AES256-SHA",
                "ssl.endpoint.identification.algorithm": "none",
                "enable.ssl.certificate.verification": "false",
            },
            Security(Tls("/ca.pem", "", "/c.pem", "/k.pem", "p", "AES256-SHA", False, False)),
        ),
        ({**SASL, "sasl.mechanism": "plain"}, Security(None, Password("PLAIN", "u", "p"))),
        ({**SASL, "sasl.mechanisms": "SCRAM-SHA-256"}, Security(None, Password("SCRAM-SHA-256", "u", "p"))),
        (
            {**SASL, "security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512", "ssl.ca.pem": "pem"},
            Security(Tls(ca_pem="pem"), Password("SCRAM-SHA-512", "u", "p")),
        ),
        (
            {**TOKEN, "enable.sasl.oauthbearer.unsecure.jwt": "true", "sasl.oauthbearer.config": "principal=x"},
            Security(Tls(), UnsecuredToken("principal=x")),
        ),
        (OIDC, Security(Tls(), OidcToken("https://login/token", "id", "secret", "usage", Tls("/ca.pem")))),
        ({"session.timeout.ms": "6000", "client.id": "x"}, Security()),
    ],
)
def test_what_aiokafka_can_do_is_understood(properties: dict[str, str], meant: Security) -> None:
    assert security_of(properties) == meant


@pytest.mark.parametrize(
    ("properties", "names"),
    [
        ({"security.protocol": "TLS"}, "security.protocol is not one"),
        ({"security.protocol": "SASL_SSL"}, "sasl.mechanism is missing"),
        ({**SASL, "sasl.mechanism": "GSSAPI"}, "sasl.mechanism is not one"),
        ({"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN"}, "sasl.username is missing"),
        ({**SASL, "sasl.mechanism": "PLAIN", "sasl.password": ""}, "sasl.password is missing"),
        (TOKEN, "sasl.oauthbearer.method is missing"),
        ({**OIDC, "sasl.oauthbearer.client.secret": ""}, "sasl.oauthbearer.client.secret is missing"),
        ({**OIDC, "sasl.oauthbearer.token.endpoint.url": "ftp://x"}, "must start with https://"),
        ({**OIDC, "sasl.oauthbearer.grant.type": "x"}, "sasl.oauthbearer.grant.type is not supported"),
        ({"sasl.kerberos.principal": "x"}, "sasl.kerberos.principal is not supported"),
        ({"ssl.crl.location": "x"}, "ssl.crl.location is not supported"),
        ({"ssl.key.pem": "x"}, "put the key into a file and name it in ssl.key.location"),
        ({"ssl.sigalgs.list": "x"}, "ssl.sigalgs.list is not supported by the stream worker; it takes enable.sasl."),
        ({"sasl.pasword": "x"}, "did you mean sasl.password?"),
        ({"enable.ssl.certificate.verification": "maybe", "security.protocol": "SSL"}, "must be true or false"),
        ({"security.protocol": "SSL", "ssl.certificate.location": "/c"}, "ssl.key.location is missing"),
        ({"security.protocol": "SSL", "ssl.endpoint.identification.algorithm": "x"}, "choose HTTPS, NONE"),
    ],
)
def test_what_it_cannot_do_is_refused_by_name(properties: dict[str, str], names: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        security_of(properties)
    assert names in str(raised.value)
    assert "METERLINE_KAFKA_CONFIG" in str(raised.value)


def test_properties_without_meaning_for_security_are_listed() -> None:
    assert unused({**SASL, "session.timeout.ms": "1", "client.id": "x"}) == ["client.id", "session.timeout.ms"]


def test_numbers_and_booleans_of_json_are_properties_too() -> None:
    """The SDK takes them, and both read the same variable."""
    config = {"enable.ssl.certificate.verification": False, "session.timeout.ms": 6000, "security.protocol": "SSL"}
    settings = KafkaSettings.model_validate({"kafka_config": config})
    assert settings.kafka_config == {
        **config,
        "enable.ssl.certificate.verification": "false",
        "session.timeout.ms": "6000",
    }
    assert security_of(settings.kafka_config) == Security(Tls(check_certificate=False))


def test_a_context_trusts_whom_it_is_told_to_trust_and_nobody_else(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "authority")
    context = tls_context(Tls(ca_location=str(authority.certificate)))
    assert [each["subject"] for each in context.get_ca_certs()] == [((("commonName", "authority"),),)]
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert not tls_context(Tls(check_host=False)).check_hostname
    assert tls_context(Tls(check_certificate=False)).verify_mode is ssl.CERT_NONE


def _tls(folder: Path, **more: Any) -> Tls:
    client = Authority(folder, "authority").issue("client", "client", "lock")
    return Tls(certificate=str(client.certificate), key=str(client.key), **more)


def test_a_locked_key_opens_with_its_password_and_never_asks_the_terminal(tmp_path: Path) -> None:
    tls_context(_tls(tmp_path, key_password="lock"))
    with pytest.raises(ConfigurationError, match=r"ssl\.key\.password"):
        tls_context(_tls(tmp_path, key_password="wrong"))
    with pytest.raises(ConfigurationError, match=r"ssl\.key\.password"):
        tls_context(_tls(tmp_path))


@pytest.mark.parametrize(
    ("tls", "names"),
    [
        (Tls(ca_location="/no/such.pem"), r"ssl\.ca\.location .* \(No such file"),
        (Tls(ca_pem="nonsense"), r"ssl\.ca\.pem holds no certificates"),
        (Tls(ciphers="nonsense"), r"ssl\.cipher\.suites names no cipher"),
        (Tls(certificate="/no/such", key="/no/such"), r"ssl\.certificate\.location"),
    ],
)
def test_a_file_that_cannot_be_used_is_said_by_property(tls: Tls, names: str) -> None:
    with pytest.raises(ConfigurationError, match=names):
        tls_context(tls)


@pytest.mark.parametrize("config", ["", "principal=", "name=x", "principal=x lifeSeconds=soon"])
def test_an_unsecured_token_needs_a_principal(config: str) -> None:
    with pytest.raises(ConfigurationError, match=r"sasl\.oauthbearer\.config"):
        credentials(Security(None, UnsecuredToken(config)))
