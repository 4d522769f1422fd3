"""stripe-mock, Stripe's own: answers every request that its specification allows, and refuses all others."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from meterline_deploy.folders import cache_folder
from meterline_deploy.ports import accepts
from meterline_deploy.tether import tethered
from tests.support.ports import free_port

MODULE: Final = "github.com/stripe/stripe-mock"
VERSION: Final = "v0.203.0"


def binary() -> Path:
    """stripe-mock of this version, built into the cache by Go; skips the test where that is impossible."""
    folder = cache_folder() / f"stripe-mock-{VERSION}"
    if not (folder / "stripe-mock").exists():
        go = shutil.which("go")
        if go is None:
            pytest.skip(f"stripe-mock {VERSION} is not in {cache_folder()}, and there is no Go to build it with")
        built = subprocess.run(
            [go, "install", f"{MODULE}@{VERSION}"],
            env={**os.environ, "GOBIN": str(folder)}, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        if built.returncode:
            pytest.skip(f"stripe-mock {VERSION} could not be built: {' '.join(built.stderr.split())[-300:]}")
    return folder / "stripe-mock"


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """Its address."""
    command, port = str(binary()), free_port()
    options = ["-http-addr", f"127.0.0.1:{port}", "-https-addr", f"127.0.0.1:{free_port()}"]
    with (folder / "stripe-mock.log").open("wb") as log:
        process = subprocess.Popen(tethered([command, *options]), stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 30
            while not accepts(port):
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(10)
