"""An issuer of tokens for tests: keys that rotate, and a JWKS address that says how often it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

NAME, AUDIENCE = "https://issuer.example", "meterline"


class Issuer:
    """Signs with RS256 and ES256; ``published`` are the ids of the keys that the address shows."""

    def __init__(self) -> None:
        self._private: dict[str, tuple[str, Any]] = {}
        self.published: list[str] = []
        self.asked = 0
        self.url = ""

    def rotate(self, algorithm: str) -> str:
        """Make a new key and publish it in the place of all others; its id."""
        id = f"{algorithm}-{len(self._private)}"
        made: Any = (
            rsa.generate_private_key(65537, 2048) if algorithm == "RS256" else ec.generate_private_key(ec.SECP256R1())
        )
        self._private[id] = algorithm, made
        self.published = [id]
        return id

    def token(self, key: str, **claims: Any) -> str:
        algorithm, private = self._private[key]
        return jwt.encode(claims_of(**claims), private, algorithm, {"kid": key})

    def public_pem(self, key: str) -> bytes:
        found: bytes = (
            self._private[key][1]
            .public_key()
            .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        )
        return found

    def jwks(self) -> bytes:
        keys = []
        for id in self.published:
            algorithm, private = self._private[id]
            kind = jwt.algorithms.RSAAlgorithm if algorithm == "RS256" else jwt.algorithms.ECAlgorithm
            keys.append({**json.loads(kind.to_jwk(private.public_key())), "kid": id, "alg": algorithm, "use": "sig"})
        return json.dumps({"keys": keys}).encode()


def claims_of(**claims: Any) -> dict[str, Any]:
    """Claims that hold, but for those that are given; None leaves one out."""
    made = {"iss": NAME, "aud": AUDIENCE, "sub": "u1", "role": "viewer", "tenant_id": "acme"}
    all_claims = {**made, "exp": datetime.now(UTC) + timedelta(minutes=5), **claims}
    return {name: value for name, value in all_claims.items() if value is not None}


@contextmanager
def issuing() -> Iterator[Issuer]:
    issuer = Issuer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.asked += 1
            body = issuer.jwks()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer.url = f"http://127.0.0.1:{server.server_address[1]}/jwks.json"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield issuer
    server.shutdown()
    thread.join()
    server.server_close()
