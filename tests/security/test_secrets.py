"""Secrets are in no repr, log, error or output, whatever goes wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from meterline import ConfigurationError, UsageProducer
from meterline_deploy.credentials import Credentials
from meterline_deploy.part import Part
from meterline_deploy.run import RunInfo
from meterline_schemas.kafka_words import without_secrets
from meterline_schemas.settings import KafkaSettings, load
from meterline_streams.credentials import credentials
from meterline_streams.security import security_of
from meterline_streams.settings import StreamSettings
from tests.security.ways import LOCK, Way, password
from tests.services.secure_kafka import SecureBroker
from tests.support.ports import free_port
from tests.support.processes import Started
from tests.support.streams import wait_until

MARK: Final = "S3cr3t-Mark"

OIDC: Final = {
    "security.protocol": "SASL_PLAINTEXT",
    "sasl.mechanism": "OAUTHBEARER",
    "sasl.oauthbearer.method": "oidc",
    "sasl.oauthbearer.client.id": "meter",
    "sasl.oauthbearer.client.secret": MARK,
}
UNSECURED: Final = {
    "security.protocol": "SASL_PLAINTEXT",
    "sasl.mechanism": "OAUTHBEARER",
    "enable.sasl.oauthbearer.unsecure.jwt": "true",
}

# an app that logs everything it can, with everything that librdkafka has to say, until the producer is told a reason
APP: Final = """
import json, logging, sys, threading
logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)
from meterline import Limits, UsageProducer
bootstrap, config, token = json.loads(sys.stdin.read())
told = threading.Event()
def on_error(problem):
    print("PROBLEM", problem, repr(problem), flush=True)
    told.set()
if token:
    config["oauth_cb"] = lambda _config: (token, 4_000_000_000.0)
producer = UsageProducer(bootstrap, kafka_config={**config, "debug": "all"}, on_error=on_error,
                         limits=Limits(report_seconds=0))
print(repr(producer), vars(producer).keys(), producer.stats())
producer.track("acme", "orders")
print("TOLD", told.wait(30))
print(producer.stats(), repr(producer), producer._limits)
producer.close(0.1)
"""


def app(bootstrap: str, config: Mapping[str, str], token: str = "") -> str:
    """All that the app says."""
    done = subprocess.run(
        [sys.executable, "-c", APP],
        input=json.dumps([bootstrap, dict(config), token]),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert "TOLD True" in done.stdout, done.stdout[-2000:] + done.stderr[-2000:]
    assert "PROBLEM" in done.stdout
    assert "rdkafka" in done.stdout  # its own lines at DEBUG are among them
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("config", "token"),
    [
        (password("PLAIN", MARK), ""),
        (password("SCRAM-SHA-512", MARK), ""),
        ({**OIDC, "sasl.oauthbearer.token.endpoint.url": "http://127.0.0.1:1/token"}, ""),
        ({**UNSECURED, "sasl.oauthbearer.config": f"principal=x {MARK}=1"}, ""),
        ({"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "OAUTHBEARER"}, MARK),
    ],
    ids=["PLAIN", "SCRAM", "oidc", "unsecured", "oauth_cb"],
)
def test_an_app_that_logs_all_it_can_tells_none(config: dict[str, str], token: str, secure: SecureBroker) -> None:
    assert MARK not in app(secure.listeners.sasl, config, token)


def test_an_app_that_is_let_in_tells_none(connections: dict[str, Way]) -> None:
    """The topic is missing, and so it is told something."""
    way = connections["TLS in both directions"]
    said = app(way.bootstrap, way.config)
    assert LOCK not in said
    assert "PRIVATE KEY" not in said


WRONG: Final[list[dict[str, Any]]] = [
    {"sasl.pasword": MARK},
    {"security.protocol": MARK},
    {"security.protocol": {"password": MARK}},
    {"security.protocol": "SASL_SSL", "sasl.mechanism": MARK},
    {"security.protocol": "SASL_SSL", "sasl.mechanism": [MARK]},
    {"sasl.jaas.config": f'Login required password="{MARK}";'},
    {"ssl.endpoint.identification.algorithm": MARK},
    {"enable.ssl.certificate.verification": MARK},
    {"acks": MARK},
    {"security.protocol": "SSL", "ssl.key.pem": MARK},
    {"security.protocol": "SSL", "ssl.certificate.pem": MARK},
    {"security.protocol": "SSL", "ssl.keystore.location": "/no/such", "ssl.keystore.password": MARK},
    {**OIDC, "sasl.oauthbearer.extensions": MARK},
]


@pytest.mark.parametrize("config", WRONG, ids=lambda config: ", ".join(config))
def test_no_error_about_settings_tells_one(config: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError) as raised:
        UsageProducer("127.0.0.1:1", kafka_config=config)
    assert MARK not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__
    monkeypatch.setenv("METERLINE_KAFKA_CONFIG", json.dumps(config))
    said = ""
    for kind in (KafkaSettings, StreamSettings):
        try:
            settings = load(kind)
            said += repr(settings) + str(settings)
            security_of(settings.kafka_config)
        except ConfigurationError as error:
            said += str(error)
    assert MARK not in said


@pytest.mark.parametrize("text", [f'{{"sasl.password": "{MARK}"', f'["{MARK}"]', f'{{"sasl.password": ["{MARK}"]}}'])
def test_no_error_about_json_tells_one(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METERLINE_KAFKA_CONFIG", text)
    for kind in (KafkaSettings, StreamSettings):
        with pytest.raises(ConfigurationError, match="METERLINE_KAFKA_CONFIG") as raised:
            load(kind)
        assert MARK not in str(raised.value)
        with pytest.raises(ValueError, match=r"(?s).") as broken:  # pydantic's own, with which a test would fail
            kind()
        assert MARK not in str(broken.value)


def test_a_key_whose_password_is_wrong_is_named_and_the_password_is_not(secure: SecureBroker, tmp_path: Path) -> None:
    client = secure.authority.issue("locked", "client", LOCK)
    config = {
        "security.protocol": "SSL",
        "ssl.certificate.location": str(client.certificate),
        "ssl.key.location": str(client.key),
        "ssl.key.password": MARK,
    }
    with pytest.raises(ConfigurationError, match="Kafka client settings are wrong") as raised:
        UsageProducer("127.0.0.1:1", kafka_config=config)
    with pytest.raises(ConfigurationError, match=r"ssl\.key\.password") as refused:
        credentials(security_of(config))
    assert MARK not in f"{raised.value} {refused.value}"


def test_no_repr_of_ours_shows_one() -> None:
    config = {**password("PLAIN", MARK), "ssl.key.password": MARK, "ssl.ca.pem": MARK}
    info = RunInfo(
        pid=1,
        started=1.0,
        kafka="k:1",
        kafka_config=config,
        clickhouse_url="http://c",
        clickhouse_user="u",
        clickhouse_password=MARK,
        analyst_user="a",
        analyst_password=MARK,
        api_url="http://a",
        api_key=MARK,
    )
    settings = StreamSettings(kafka_config=config)
    tls = {**config, "security.protocol": "SASL_SSL", "ssl.certificate.location": "/c", "ssl.key.location": "/k"}
    shown = [
        info,
        settings,
        KafkaSettings(kafka_config=config),
        Part("streams", ["x"], lambda: True, environment=info.environment()),
        Credentials(api_key=MARK, clickhouse_password=MARK, analyst_password=MARK),
        UsageProducer("127.0.0.1:1", kafka_config=password("PLAIN", MARK)),
        security_of(tls),
        security_of({**OIDC, "sasl.oauthbearer.token.endpoint.url": "https://x"}),
        security_of({**UNSECURED, "sasl.oauthbearer.config": f"principal={MARK}"}),
        credentials(security_of(password("PLAIN", MARK))),
    ]
    assert [each for each in map(repr, shown) if MARK in each] == []


def test_a_value_is_hidden_wherever_it_stands() -> None:
    properties = {"sasl.password": "abcdef", "ssl.key.pem": b"pem-bytes", "client.id": "shop", "sasl.username": "me"}
    text = "shop: me said abcdef, pem-bytes and abcdefg"
    assert without_secrets(text, properties) == "shop: me said ***, *** and ***g"


@pytest.mark.parametrize(
    ("module", "says"),
    [
        ("meterline_streams", "Kafka does not let this client in"),
        ("meterline_sinks", "uthentication failed"),
        ("meterline_sinks.notifier", "Kafka does not let this client in"),
        ("meterline_api", "uthentication failed"),
        pytest.param("meterline_deploy", "Kafka does not let this client in", marks=pytest.mark.long),
    ],
)
def test_a_server_that_is_not_let_in_says_so_and_tells_none(
    module: str, says: str, secure: SecureBroker, tmp_path: Path
) -> None:
    arguments = ["setup", "--data", str(tmp_path)] if module == "meterline_deploy" else []
    config = {**password("SCRAM-SHA-512", MARK), "debug": "security"}
    environment = {
        **os.environ,
        **Way(secure.listeners.sasl, config).environment(),
        "METERLINE_API_KEY": MARK,
        "METERLINE_API_PORT": str(free_port()),
        "METERLINE_CLICKHOUSE_PASSWORD": MARK,
        "METERLINE_CLICKHOUSE_URL": "http://127.0.0.1:1",
    }
    log = tmp_path / "log"
    process = Started(module, *arguments, environment=environment, out=log)
    try:
        wait_until(lambda: says in log.read_text() or process.poll() is not None, 90, log.read_text)
    finally:
        process.terminate()
        process.wait(30)
    text = log.read_text()
    assert says in text
    assert "Traceback" not in text
    assert MARK not in text
