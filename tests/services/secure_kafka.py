"""The embedded broker with four more listeners: SASL, SASL over TLS, TLS, and TLS in both directions.

``python -m tests.services.secure_kafka --data DIR --port N --listeners FILE`` runs it; ``FILE`` is lines of
``server.properties``, of which ``listeners`` and the like are added to the broker's own.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from confluent_kafka.admin import AdminClient, ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion

from meterline_deploy.embedded.kafka import prepare
from meterline_deploy.folders import make_folder
from meterline_deploy.ports import HOST, accepts
from tests.services.certificates import Authority, Identity
from tests.services.kafka import EmbeddedBroker
from tests.support.ports import free_port

USER: Final = "meter"
PASSWORD: Final = "right-Passw0rd"  # of PLAIN and SCRAM

_PROTOCOLS: Final = {"SASL": "SASL_PLAINTEXT", "SASLTLS": "SASL_SSL", "TLS": "SSL", "MUTUAL": "SSL"}
_JOINED: Final = ("listeners", "advertised.listeners", "listener.security.protocol.map")
_MODULES: Final = "org.apache.kafka.common.security"
_LOGINS: Final = {
    "plain": f'{_MODULES}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";',
    "scram-sha-256": f"{_MODULES}.scram.ScramLoginModule required;",
    "scram-sha-512": f"{_MODULES}.scram.ScramLoginModule required;",
    "oauthbearer": f'{_MODULES}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="{USER}";',
}


@dataclass(frozen=True)
class Listeners:
    """Where each kind of client connects."""

    sasl: str
    sasl_tls: str
    tls: str
    mutual_tls: str


class SecureBroker(EmbeddedBroker):
    """``bootstrap`` stays open to everybody, for the tests themselves."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.authority = Authority(folder, "authority")
        self.server = self.authority.issue("broker", HOST)
        self._ports = {name: free_port() for name in _PROTOCOLS}
        self._more = folder / "listeners.properties"
        settings = self._properties(self.server)
        self._more.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))

    @property
    def listeners(self) -> Listeners:
        return Listeners(*(f"{HOST}:{port}" for port in self._ports.values()))

    def command(self) -> list[str]:
        data, port = str(self._folder / "kafka"), str(self._port)
        return ["tests.services.secure_kafka", "--data", data, "--port", port, "--listeners", str(self._more)]

    def ready(self) -> bool:
        return super().ready() and all(map(accepts, self._ports.values()))

    def start(self) -> None:
        super().start()
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        info = [
            ScramCredentialInfo(each, 4096) for each in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512)
        ]
        users = [UserScramCredentialUpsertion(USER, each, PASSWORD.encode()) for each in info]
        for user in users:  # one answer for each user and request
            for done in admin.alter_user_scram_credentials([user]).values():
                done.result(30)

    def _properties(self, server: Identity) -> dict[str, str]:
        addresses = ",".join(f"{name}://{HOST}:{port}" for name, port in self._ports.items())
        keys = self._folder / "broker.chain"
        keys.write_bytes(server.key.read_bytes() + server.certificate.read_bytes())
        return {
            "listeners": addresses,
            "advertised.listeners": addresses,
            "listener.security.protocol.map": ",".join(f"{name}:{kind}" for name, kind in _PROTOCOLS.items()),
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(keys),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.authority.certificate),
            "listener.name.mutual.ssl.client.auth": "required",
            **{
                f"listener.name.{listener}.{mechanism}.sasl.jaas.config": login
                for listener in ("sasl", "sasltls")
                for mechanism, login in _LOGINS.items()
            },
            **{
                f"listener.name.{listener}.sasl.enabled.mechanisms": ",".join(each.upper() for each in _LOGINS)
                for listener in ("sasl", "sasltls")
            },
        }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--listeners", type=Path, required=True)
    options = parser.parse_args()
    data = make_folder(options.data)
    command = prepare(data, options.port)
    file = data / "server.properties"
    settings = dict(line.split("=", 1) for line in file.read_text().splitlines())
    for line in options.listeners.read_text().splitlines():
        name, value = line.split("=", 1)
        settings[name] = f"{settings[name]},{value}" if name in _JOINED else value
    file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
