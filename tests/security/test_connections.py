"""SASL and TLS from the SDK to the stream worker, against a broker that asks for them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion

from meterline import Limits, Problem, UsageProducer
from meterline_deploy.ports import HOST
from meterline_schemas.settings import ClickHouseSettings
from tests.deploy.running import Up, meterline
from tests.producers.reading import create_topic, events
from tests.security.ways import NAMES, Way, password, unsigned_token
from tests.services.certificates import Authority
from tests.services.clickhouse import execute
from tests.services.secure_kafka import USER, SecureBroker
from tests.support import cluster
from tests.support.recount import lines
from tests.support.streams import Streams, wait_until
from tests.support.workload import METRICS

ROOT = Path(__file__).parents[2]
ALIKE = ("SCRAM-SHA-512", "TLS", "an unsecured token")  # each a part of another way, or nearly so


def producer_of(way: Way, prefix: str, told: list[Problem] | None = None, **more: Any) -> UsageProducer:
    return UsageProducer(
        way.bootstrap,
        kafka_config={**way.config, **more},
        topic_prefix=prefix,
        limits=Limits(report_seconds=0),
        on_error=None if told is None else told.append,
    )


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.long] if name in ALIKE else []) for name in NAMES]
)
def test_the_sdk_sends_and_a_stream_worker_counts(
    name: str, connections: dict[str, Way], secure: SecureBroker, prefix: str, tmp_path: Path
) -> None:
    way = connections[name]
    with Streams(secure.bootstrap, prefix, tmp_path, partitions=2, **way.environment()) as streams:
        with producer_of(way, prefix) as usage:
            ids = {usage.track(f"tenant-{number % 7}", "orders", number) for number in range(50)}
            assert usage.flush(30) == 0
        for message in cluster.read_all(secure.bootstrap, prefix + "usage.events"):
            for line in lines(message.value()):
                streams.expected.add(line, METRICS)
        assert {id for _tenant, id in streams.expected.ids} == ids
        streams.start("one")
        streams.drain()
        streams.check_exact()
        assert streams.alive("one")


def test_no_client_is_made_from_anything_but_the_settings() -> None:
    """Who writes ``bootstrap.servers`` by hand leaves the properties of security behind."""
    folders = ("schemas", "producers", "stream_processors", "sinks", "api", "deploy")
    found = {
        path.stem
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        if "bootstrap.servers" in path.read_text()
    }
    assert found == {"settings", "connection", "security"}


@pytest.mark.long
def test_every_process_of_an_installation_reaches_kafka_so(
    connections: dict[str, Way], prefix: str, clickhouse: ClickHouseSettings, tmp_path: Path
) -> None:
    way = connections["SCRAM-SHA-256 over TLS"]
    environment = {
        **way.environment(),
        "METERLINE_TOPIC_PREFIX": prefix,
        "METERLINE_CLICKHOUSE_USER": clickhouse.user,
        "METERLINE_CLICKHOUSE_PASSWORD": clickhouse.password.get_secret_value(),
        "METERLINE_CLICKHOUSE_DATABASE": clickhouse.database,
    }
    options = ("--kafka", way.bootstrap, "--clickhouse", clickhouse.url, "--partitions", "2")
    with Up(tmp_path / "data", *options, **environment) as up:
        up.start().wait_for("ready")
        there = ("--data", str(up.data))
        metrics = tmp_path / "metrics.yaml"
        metrics.write_text("metrics:\n  - key: orders\n")
        assert meterline("metrics", "apply", str(metrics), *there).returncode == 0
        with producer_of(way, prefix) as usage:
            usage.track("acme", "orders")
            assert usage.flush(30) == 0
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        event = {"tenant_id": "acme", "metric": "orders", "id": "1", "quantity": 1, "timestamp": now}
        emitted = meterline("emit", "-", *there, text=json.dumps(event) + "\n")
        assert emitted.returncode == 0, emitted.stderr
        count = f"SELECT count() FROM {clickhouse.database}.usage_events"
        wait_until(lambda: execute(clickhouse, count).strip() == "2", 60, "both events in ClickHouse")
        wait_until(lambda: meterline("doctor", *there).returncode == 0, 60, "doctor content")
        proof = meterline("reconcile", *there)
        assert proof.returncode == 0, proof.stdout + proof.stderr
        assert up.end() == 0


def test_a_token_that_the_app_fetches_itself(secure: SecureBroker, prefix: str) -> None:
    asked: list[str] = []

    def token(config: str) -> tuple[str, float]:
        asked.append(config)
        now = int(time.time())
        return unsigned_token(now), float(now + 600)

    create_topic(secure.bootstrap, prefix)
    way = Way(secure.listeners.sasl, {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "OAUTHBEARER"})
    with producer_of(way, prefix, oauth_cb=token) as usage:
        assert asked == []  # nothing is asked before there is something to send
        id = usage.track("acme", "orders")
        assert usage.flush(30) == 0
    assert [event["id"] for event in events(secure.bootstrap, prefix)] == [id]
    assert asked


def test_a_token_server_that_is_away_at_first_costs_no_event(secure: SecureBroker, prefix: str) -> None:
    away = True

    def token(_config: str) -> tuple[str, float]:
        if away:
            raise ConnectionError("with-a-secret")
        now = int(time.time())
        return unsigned_token(now), float(now + 600)

    create_topic(secure.bootstrap, prefix)
    told: list[Problem] = []
    way = Way(secure.listeners.sasl, {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "OAUTHBEARER"})
    with producer_of(way, prefix, told, oauth_cb=token) as usage:
        id = usage.track("acme", "orders")
        wait_until(
            lambda: any("oauth_cb raised ConnectionError" in each.detail for each in told), 30, lambda: str(told)
        )
        assert "with-a-secret" not in str(told)
        away = False
        assert usage.flush(60) == 0
    assert [event["id"] for event in events(secure.bootstrap, prefix)] == [id]


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_a_wrong_password_is_told_and_what_was_tracked_waits(mechanism: str, secure: SecureBroker, prefix: str) -> None:
    create_topic(secure.bootstrap, prefix)
    told: list[Problem] = []
    way = Way(secure.listeners.sasl, password(mechanism, "not-the-password"))
    with producer_of(way, prefix, told) as usage:
        usage.track("acme", "orders")
        wait_until(lambda: any("let this client in" in each.detail for each in told), 30, lambda: str(told))
        assert usage.stats().pending == 1
        assert {each.kind for each in told} == {"broker"}
        detail = next(each.detail for each in told if "let this client in" in each.detail)
        assert "sasl.* properties of METERLINE_KAFKA_CONFIG" in detail
        assert "not-the-password" not in str(told)
        usage.close(0)


def test_events_are_sent_once_the_password_is_right(secure: SecureBroker, prefix: str) -> None:
    create_topic(secure.bootstrap, prefix)
    told: list[Problem] = []
    way = Way(secure.listeners.sasl, password("SCRAM-SHA-512", "of-tomorrow", username="late"))
    with producer_of(way, prefix, told) as usage:
        ids = {usage.track(f"tenant-{number}", "orders") for number in range(20)}
        wait_until(lambda: any("let this client in" in each.detail for each in told), 30, lambda: str(told))
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        admin = AdminClient({"bootstrap.servers": secure.bootstrap})
        users = [UserScramCredentialUpsertion("late", info, b"of-tomorrow")]
        for done in admin.alter_user_scram_credentials(users).values():
            done.result(30)
        assert usage.flush(60) == 0
        assert usage.stats().acknowledged == 20
    assert {event["id"] for event in events(secure.bootstrap, prefix)} == ids


def _stranger(secure: SecureBroker, folder: Path) -> dict[str, str]:
    return {"ssl.ca.location": str(Authority(folder, "stranger").certificate)}


def _no_certificate(secure: SecureBroker, folder: Path) -> dict[str, str]:
    return {"ssl.ca.location": str(secure.authority.certificate)}


@pytest.mark.parametrize(
    ("listener", "config", "says"),
    [("tls", _stranger, "certificate"), ("mutual_tls", _no_certificate, "certificate required")],
    ids=["a broker that is not trusted", "a client without a certificate"],
)
def test_tls_that_fails_is_told_and_what_was_tracked_waits(
    listener: str,
    config: Callable[[SecureBroker, Path], dict[str, str]],
    says: str,
    secure: SecureBroker,
    prefix: str,
    tmp_path: Path,
) -> None:
    told: list[Problem] = []
    way = Way(getattr(secure.listeners, listener), {"security.protocol": "SSL", **config(secure, tmp_path)})
    with producer_of(way, prefix, told) as usage:
        usage.track("acme", "orders")
        wait_until(lambda: any("no TLS connection" in each.detail for each in told), 30, lambda: str(told))
        detail = next(each.detail for each in told if "no TLS connection" in each.detail)
        assert says in detail
        assert "ssl.* properties of METERLINE_KAFKA_CONFIG" in detail
        assert usage.stats().pending == 1
        usage.close(0)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        pytest.param(
            password("SCRAM-SHA-512", "not-the-password"), "Kafka does not let this client in", marks=pytest.mark.long
        ),
        ({**password("PLAIN"), "sasl.mechanism": "GSSAPI"}, "sasl.mechanism is not one that the stream worker"),
        ({"security.protocol": "SSL", "ssl.ca.location": "/no/such.pem"}, "METERLINE_KAFKA_CONFIG"),
    ],
    ids=["password", "mechanism", "file"],
)
def test_a_stream_worker_that_cannot_connect_says_why_and_ends(
    config: dict[str, str], says: str, secure: SecureBroker, prefix: str, tmp_path: Path
) -> None:
    way = Way(secure.listeners.sasl, config)
    with Streams(secure.bootstrap, prefix, tmp_path, partitions=1, **way.environment()) as streams:
        streams.start("one")
        assert streams.exit_code("one", 90) == 1
        log = streams.log("one").read_text()
    assert says in log
    assert "Traceback" not in log
    assert "not-the-password" not in log


def test_the_name_in_the_certificate_is_looked_at(secure: SecureBroker, prefix: str, tmp_path: Path) -> None:
    """The certificate is for the address; under another name of the same machine it is not taken."""
    assert secure.listeners.tls.startswith(HOST)
    elsewhere = secure.listeners.tls.replace(HOST, "localhost")
    told: list[Problem] = []
    config = {"security.protocol": "SSL", "ssl.ca.location": str(secure.authority.certificate)}
    with producer_of(Way(elsewhere, config), prefix, told) as usage:
        usage.track("acme", "orders")
        wait_until(lambda: any("no TLS connection" in each.detail for each in told), 30, lambda: str(told))
        usage.close(0)
    assert USER not in str(told)
