"""What webhooks arrive at: keeps each body with its signature, and answers as it is told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class Receiver:
    """``answers`` are the next statuses; 200 when there are no more."""

    def __init__(self) -> None:
        self.received: list[tuple[str, str]] = []
        self.answers: list[int] = []
        self.url = ""

    def wait(self, count: int) -> list[tuple[str, str]]:
        """The bodies and signatures, once there are ``count``."""
        deadline = time.monotonic() + 30
        while len(self.received) < count:
            assert time.monotonic() < deadline, f"{len(self.received)} webhooks arrived, not {count}"
            time.sleep(0.01)
        return list(self.received)


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            receiver.received.append((body, self.headers["Stripe-Signature"]))
            self.send_response(receiver.answers.pop(0) if receiver.answers else 200)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
