"""A real HTTP receiver of webhooks, and a real SMTP server; both note what they get."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from meterline_deploy.ports import HOST
from tests.support.ports import free_port


@dataclass(frozen=True)
class Call:
    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def webhook_id(self) -> str:
        return self.headers["webhook-id"]


Answer = tuple[int, dict[str, str], bytes]


@dataclass
class Receiver:
    """Answers every call as ``answer`` says, None of it: not at all, until ``release``."""

    calls: list[Call] = field(default_factory=list)
    answer: Callable[[Call], Answer | None] = lambda _call: (200, {}, b"ok")
    released: Event = field(default_factory=Event)
    port: int = 0
    missing: int = 0  # bytes of each answer that are promised and do not come until ``release``

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}/hook"

    def ids(self) -> set[str]:
        return {call.webhook_id for call in list(self.calls)}

    def release(self) -> None:
        self.released.set()


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            body = self.rfile.read(length)
            if len(body) < length:  # the sender was killed in the midst of it
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            call = Call(self.path, headers, body, time.time())
            receiver.calls.append(call)
            answer = receiver.answer(call)
            if answer is None:
                receiver.released.wait(60)
                return
            status, more, text = answer
            try:
                self.send_response(status)
                for name, value in more.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(text) + receiver.missing))
                self.end_headers()
                self.wfile.write(text)
                if receiver.missing:
                    receiver.released.wait(60)
            except OSError:
                pass  # the notifier was killed while it waited

        def log_message(self, format: str, *args: Any) -> None:
            """Calls are noted."""

    server = ThreadingHTTPServer((HOST, 0), Handler)
    server.daemon_threads = True
    receiver.port = server.server_address[1]
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.release()
        server.shutdown()
        server.server_close()
        thread.join(10)


@dataclass
class Postbox:
    """The SMTP server's mails. ``refuse`` gives the answer to an address, None where it is taken."""

    port: int
    login: bool = False
    mails: list[EmailMessage] = field(default_factory=list)
    refuse: Callable[[str], str | None] = lambda _address: None

    async def handle_RCPT(self, _server: Any, session: Any, envelope: Any, address: str, _options: Any) -> str:
        if self.login and not session.authenticated:
            return "530 log in first"
        answer = self.refuse(address)
        if answer is None:
            envelope.rcpt_tos.append(address)
        return answer or "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 taken"


@contextmanager
def mail_server(user: str = "", password: str = "") -> Iterator[Postbox]:
    """With a user: nobody else may send."""
    box = Postbox(free_port(), login=bool(user))

    def authenticate(_server: Any, _session: Any, _envelope: Any, _mechanism: str, given: Any) -> AuthResult:
        right = isinstance(given, LoginPassword) and (given.login, given.password) == (
            user.encode(),
            password.encode(),
        )
        return AuthResult(success=right, handled=False)

    settings: dict[str, Any] = {"authenticator": authenticate, "auth_require_tls": False} if user else {}
    controller = Controller(box, hostname=HOST, port=box.port, **settings)
    controller.start()
    try:
        yield box
    finally:
        controller.stop()
