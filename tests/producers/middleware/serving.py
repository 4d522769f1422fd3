"""Real servers: uvicorn, werkzeug's and wsgiref's in a thread, gunicorn and uvicorn as processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import uvicorn

from meterline_deploy.ports import HOST, accepts
from meterline_deploy.tether import tethered
from tests.support.ports import free_port
from tests.support.streams import wait_until

ROOT = Path(__file__).parents[3]


@contextmanager
def asgi(app: Any) -> Iterator[str]:
    """The address of an app under uvicorn; on leaving, everything that it was asked is answered."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=20))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            wait_until(lambda: server.started, 30, "uvicorn to start")
            yield f"http://{HOST}:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Server(WSGIServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that went away


@contextmanager
def wsgi(app: Any) -> Iterator[str]:
    """The address of an app under wsgiref, which answers one request after the other."""
    server = _Server((HOST, 0), _Quiet)
    server.set_app(app)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(30)
        server.server_close()


@contextmanager
def process(*command: str, **environment: str) -> Iterator[str]:
    """The address of ``python -m command`` that is told to listen on ``{port}``; ended in order on leaving."""
    port = free_port()
    arguments = [sys.executable, "-m", *(each.format(port=port) for each in command)]
    plain = {name: value for name, value in os.environ.items() if not name.startswith("METERLINE_")}
    running = subprocess.Popen(
        tethered(arguments),
        cwd=ROOT,
        env={**plain, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        wait_until(lambda: accepts(port) or running.poll() is not None, 60, "the server to listen")
        assert running.poll() is None, "the server ended at once"
        yield f"http://{HOST}:{port}"
    finally:
        running.send_signal(signal.SIGTERM)
        try:
            said = running.communicate(timeout=60)[0]
        finally:
            running.kill()
        print(said)  # pytest shows it where the test fails
    assert "Traceback" not in said
