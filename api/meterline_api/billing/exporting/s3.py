"""Exports in a bucket: an object is there whole or not at all, and the manifest's is put last."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from meterline_api.billing.exporting.places import Bucket
from meterline_api.billing.exporting.settings import ExportSettings
from meterline_schemas.errors import ConfigurationError, UnavailableError


class S3Store:
    """As ``Store``. The key needs ``s3:ListBucket``, ``s3:GetObject`` and ``s3:PutObject``.

    Raises:
        ConfigurationError: boto3 is not installed, or the settings are none that it takes.
    """

    def __init__(self, bucket: Bucket, settings: ExportSettings) -> None:
        self._bucket = bucket
        self._client, self._errors = _connect(settings)

    def runs(self) -> list[str]:
        prefix = self._bucket.prefix
        with self._reached():
            pages = self._client.get_paginator("list_objects_v2")
            return sorted(
                found["Prefix"][len(prefix) : -1]
                for page in pages.paginate(Bucket=self._bucket.name, Prefix=prefix, Delimiter="/")
                for found in page.get("CommonPrefixes", [])
            )

    def read(self, name: str) -> bytes | None:
        with self._reached():
            try:
                answer = self._client.get_object(Bucket=self._bucket.name, Key=self._bucket.prefix + name)
            except self._client.exceptions.NoSuchKey:
                return None
            found: bytes = answer["Body"].read()
            return found

    def write(self, name: str, content: bytes) -> None:
        with self._reached():
            self._client.put_object(Bucket=self._bucket.name, Key=self._bucket.prefix + name, Body=content)

    def take(self, name: str, content: BinaryIO) -> None:
        with self._reached():
            self._client.upload_fileobj(content, self._bucket.name, self._bucket.prefix + name)

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except self._errors as error:
            said = " ".join(str(error).split())[:300]
            raise UnavailableError(f"exports cannot be written to s3://{self._bucket.name}: {said}") from None


def _connect(settings: ExportSettings) -> tuple[Any, tuple[type[Exception], ...]]:
    """A client, and what it raises."""
    try:
        import boto3
        from boto3.exceptions import Boto3Error
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError
    except ModuleNotFoundError:
        raise ConfigurationError(
            "METERLINE_BILLING_EXPORT_TO is a bucket of S3, which needs boto3: pip install 'meterline[s3]'"
        ) from None
    config = Config(
        connect_timeout=10,
        read_timeout=60,
        retries={"mode": "standard", "total_max_attempts": 5},
        request_checksum_calculation="when_required",  # servers other than Amazon's may not know its checksums
        response_checksum_validation="when_required",
        s3={"addressing_style": "path" if settings.endpoint else "auto"},
    )
    secret = settings.secret_key.get_secret_value() if settings.secret_key else None
    try:
        client = boto3.session.Session().client(
            "s3",
            endpoint_url=settings.endpoint or None,
            region_name=settings.region or None,
            aws_access_key_id=settings.access_key or None,
            aws_secret_access_key=secret,
            config=config,
        )
    except (BotoCoreError, ValueError) as error:
        said = " ".join(str(error).split())[:300]
        raise ConfigurationError(f"the settings of exports (METERLINE_BILLING_EXPORT_…): {said}") from None
    return client, (BotoCoreError, ClientError, Boto3Error)
