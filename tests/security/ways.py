"""The ways to connect to the secure broker, each as librdkafka properties."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from meterline_deploy.ports import HOST
from tests.services.secure_kafka import PASSWORD, USER, SecureBroker

LOCK: Final = "lock-of-the-key"
CLIENT_SECRET: Final = "secret-of-the-client"


@dataclass(frozen=True)
class Way:
    bootstrap: str
    config: Mapping[str, str]

    def environment(self) -> dict[str, str]:
        return {"METERLINE_KAFKA": self.bootstrap, "METERLINE_KAFKA_CONFIG": json.dumps(dict(self.config))}


def password(mechanism: str, password: str = PASSWORD, username: str = USER) -> dict[str, str]:
    return {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": mechanism,
        "sasl.username": username,
        "sasl.password": password,
    }


def ways(broker: SecureBroker, token_endpoint: str) -> dict[str, Way]:
    at = broker.listeners
    ca = {"ssl.ca.location": str(broker.authority.certificate)}
    client = broker.authority.issue("client", "client", LOCK)
    return {
        "PLAIN": Way(at.sasl, password("PLAIN")),
        "SCRAM-SHA-512": Way(at.sasl, password("SCRAM-SHA-512")),
        "SCRAM-SHA-256 over TLS": Way(
            at.sasl_tls, {**password("SCRAM-SHA-256"), "security.protocol": "SASL_SSL", **ca}
        ),
        "TLS": Way(at.tls, {"security.protocol": "ssl", "ssl.ca.pem": broker.authority.certificate.read_text()}),
        "TLS in both directions": Way(
            at.mutual_tls,
            {
                "security.protocol": "SSL",
                "ssl.certificate.location": str(client.certificate),
                "ssl.key.location": str(client.key),
                "ssl.key.password": LOCK,
                **ca,
            },
        ),
        "a token of OpenID Connect": Way(
            at.sasl,
            {
                "security.protocol": "SASL_PLAINTEXT",
                "sasl.mechanisms": "OAUTHBEARER",
                "sasl.oauthbearer.method": "oidc",
                "sasl.oauthbearer.client.id": USER,
                "sasl.oauthbearer.client.secret": CLIENT_SECRET,
                "sasl.oauthbearer.token.endpoint.url": token_endpoint,
            },
        ),
        "an unsecured token": Way(
            at.sasl,
            {
                "security.protocol": "SASL_PLAINTEXT",
                "sasl.mechanism": "OAUTHBEARER",
                "enable.sasl.oauthbearer.unsecure.jwt": "true",
                "sasl.oauthbearer.config": f"principal={USER}",
            },
        ),
    }


NAMES: Final = (
    "PLAIN",
    "SCRAM-SHA-512",
    "SCRAM-SHA-256 over TLS",
    "TLS",
    "TLS in both directions",
    "a token of OpenID Connect",
    "an unsecured token",
)


def unsigned_token(now: int, life: int = 600) -> str:
    parts = ({"alg": "none"}, {"sub": USER, "iat": now, "exp": now + life})
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join([*encoded, ""])


@contextmanager
def token_server(clock: Iterator[int]) -> Iterator[str]:
    """An OpenID Connect provider that knows one client; its token endpoint."""
    expected = "Basic " + base64.b64encode(f"{USER}:{CLIENT_SECRET}".encode()).decode()

    class Provider(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = self.rfile.read(int(self.headers["Content-Length"]))
            right = self.headers["Authorization"] == expected and b"grant_type=client_credentials" in form
            answer = {"access_token": unsigned_token(next(clock)), "expires_in": 600, "token_type": "Bearer"}
            self.send_response(200 if right else 401)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(answer if right else {"error": "invalid_client"}).encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer((HOST, 0), Provider)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_port}/token"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
