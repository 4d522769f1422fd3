"""``meterline billing export``: through the real API, and from servers that break off."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from meterline_schemas.settings import ClickHouseSettings
from tests.api.billing.exporting.ledger import Ledger
from tests.api.process import KEY, ApiProcess
from tests.deploy.running import meterline
from tests.services.kafka import create_topics
from tests.support.processes import Started
from tests.support.streams import wait_until


def test_a_file_is_pulled_and_pulled_again_and_then_only_what_changed(
    kafka: str, prefix: str, migrated: ClickHouseSettings, tmp_path: Path
) -> None:
    create_topics(kafka, prefix, 1)
    ledger = Ledger(migrated)
    ledger.grow()
    api = ApiProcess(kafka, prefix, migrated, tmp_path)
    api.start()
    more = {"METERLINE_API_URL": str(api.client.base_url), "METERLINE_API_KEY": KEY}
    try:
        first = meterline("billing", "export", "journal", "--from", "2026-10-01", folder=tmp_path, more=more)
        assert (first.returncode, first.stdout) == (0, ""), first.stderr
        as_of = first.stderr.strip().rpartition(" as of ")[2]
        ledger.invoice()
        words = ("journal", "--as-of", as_of, "--from", "2026-10-01", "--out", "again.csv")
        assert meterline("billing", "export", *words, folder=tmp_path, more=more).returncode == 0
        assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "journal.csv").read_bytes()
        since = meterline(
            *("billing", "export", "invoices", "--since", as_of, "--format", "ndjson", "--out", "-"),
            folder=tmp_path,
            more=more,
        )
        (line,) = since.stdout.splitlines()
        assert f'"number":"{ledger.documents[-1].number}"' in line
        wrong = meterline("billing", "export", "journals", folder=tmp_path, more=more)
        assert (wrong.returncode, wrong.stdout) == (1, "")
        assert "Traceback" not in wrong.stderr
        nowhere = meterline("billing", "export", "journal", "--out", "no/x.csv", folder=tmp_path, more=more)
        assert nowhere.returncode == 1
        assert "cannot write no/x.csv: No such file or directory; name another file" in nowhere.stderr
        assert {path.name for path in tmp_path.iterdir()} == {"api.log", "journal.csv", "again.csv"}
    finally:
        api.stop()


@contextmanager
def serving(head: bytes, hold: threading.Event) -> Iterator[str]:
    """A server that sends the beginning of a file, and after ``hold`` closes the connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _address = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\n" + head)
                hold.wait(60)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        hold.set()
        thread.join(60)


@pytest.mark.parametrize(
    "head",
    [b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", b"Content-Length: 50\r\n\r\nhello"],
    ids=["in pieces", "of a length"],
)
def test_a_transfer_that_breaks_off_leaves_no_file(head: bytes, tmp_path: Path) -> None:
    hold = threading.Event()
    hold.set()
    (tmp_path / "journal.csv").write_text("of yesterday")
    with serving(head, hold) as url:
        more = {"METERLINE_API_URL": url, "METERLINE_API_KEY": KEY}
        done = meterline("billing", "export", "journal", folder=tmp_path, more=more)
    assert (done.returncode, done.stdout) == (1, "")
    assert "broke off before its end; ask again" in done.stderr
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("journal.csv", "of yesterday")]


def test_an_interrupt_leaves_no_file(tmp_path: Path) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    with serving(b"Transfer-Encoding: chunked\r\n\r\n40000\r\n" + b"x" * 0x40000 + b"\r\n", threading.Event()) as url:
        environment = {**os.environ, "METERLINE_API_URL": url, "METERLINE_API_KEY": KEY}
        process = Started(
            "meterline_deploy",
            "billing",
            "export",
            "journal",
            environment=environment,
            out=tmp_path / "out",
            folder=folder,
        )
        wait_until(lambda: any(path.stat().st_size for path in folder.glob(".journal.csv.*.part")), 60, "a part")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert list(folder.iterdir()) == []
