"""``python -m meterline_deploy.stripe_stand_in [--port PORT] [--data FILE]``: says where it listens, until SIGTERM."""

from __future__ import annotations

import argparse
import logging
import signal
import socket
import sqlite3
import sys
from pathlib import Path

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from meterline_deploy.ports import HOST
from meterline_deploy.stripe_stand_in.account import Account
from meterline_deploy.stripe_stand_in.app import Application
from meterline_deploy.stripe_stand_in.store import Store


class Protocol(HttpToolsProtocol):
    """Shows the application its connection, so that it can end it without an answer."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {"transport": self.transport}  # type: ignore[dict-item]


def main() -> int:
    parser = argparse.ArgumentParser(prog="meterline_deploy.stripe_stand_in", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="a free one by default")
    parser.add_argument("--data", type=Path, metavar="FILE", help="keep everything here, through kill and restart")
    arguments = parser.parse_args()
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    try:
        store = Store(arguments.data)
    except sqlite3.Error as error:
        print(f"cannot use {arguments.data}: {error}; give another file with --data", file=sys.stderr)
        return 2
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, arguments.port))
        except (OSError, OverflowError) as error:
            print(f"cannot listen on {HOST}:{arguments.port}: {error}; give another --port", file=sys.stderr)
            return 1
        listener.listen(256)
        # the server hands signals on when it has stopped: without a handler the second delivery would kill
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: None)
        print(f"listening on http://{HOST}:{listener.getsockname()[1]}", flush=True)
        server = uvicorn.Server(
            uvicorn.Config(
                Application(Account(store)), http=Protocol, log_level="warning", access_log=False, lifespan="on",
                timeout_keep_alive=75,
                timeout_graceful_shutdown=2,
            )
        )  # fmt: skip
        server.run(sockets=[listener])
    return 0


if __name__ == "__main__":
    sys.exit(main())
