"""Storage that speaks Amazon's S3, by whomever: the only module here that imports boto3."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from meterline_api.storage.findings import Finding, Passed, Stored, Unmeasured
from meterline_api.storage.place import Bucket, Buckets
from meterline_schemas.errors import ConfigurationError, UnavailableError

if TYPE_CHECKING:
    from meterline_api.storage.settings import StorageSettings

_Found = tuple[str, str, str]  # tenant, bucket, prefix


class S3Provider:
    """The sizes of all objects of each tenant, as they are listed: the newest version of each, nothing else.

    Raises:
        ConfigurationError: boto3 is not installed, or the settings are none that it takes.
    """

    def __init__(self, place: Bucket | Buckets, settings: StorageSettings) -> None:
        self._place = place
        self._client, self._errors = _connect(settings)

    def measure(self, only: Collection[str] | None = None) -> Iterator[Finding]:
        """As ``Provider.measure``. Requests: one for each tenant, and for each thousand objects beyond the first."""
        try:
            tenants = list(self._tenants())
        except self._errors as error:
            raise UnavailableError(f"the storage does not say whose it has: {_said(error)}") from None
        for tenant_id, group in itertools.groupby(sorted(tenants), lambda found: found[0]):
            if only is not None and tenant_id not in only:
                yield Passed(tenant_id)
                continue
            try:
                yield Stored(tenant_id, sum(self._size(bucket, prefix) for _tenant, bucket, prefix in group))
            except self._errors as error:
                yield Unmeasured(tenant_id, _said(error))

    def _tenants(self) -> Iterator[_Found]:
        match self._place:
            case Bucket(name, prefix):
                pages = self._client.get_paginator("list_objects_v2")
                for page in pages.paginate(Bucket=name, Prefix=prefix, Delimiter="/"):
                    for found in page.get("CommonPrefixes", []):
                        tenant_id = found["Prefix"][len(prefix) : -1]
                        if tenant_id:
                            yield tenant_id, name, found["Prefix"]
            case Buckets(_, _, prefix) as named:
                for bucket in self._client.list_buckets()["Buckets"]:
                    whose = named.tenant(bucket["Name"])
                    if whose is not None:
                        yield whose, bucket["Name"], prefix

    def _size(self, bucket: str, prefix: str) -> int:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return sum(found["Size"] for page in pages for found in page.get("Contents", []))


def _connect(settings: StorageSettings) -> tuple[Any, tuple[type[Exception], ...]]:
    """A client, and what it raises."""
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError
    except ModuleNotFoundError:
        raise ConfigurationError(
            "METERLINE_STORAGE_URL is one of S3, which needs boto3: pip install 'meterline[s3]'"
        ) from None
    config = Config(
        connect_timeout=10,
        read_timeout=60,
        retries={"mode": "standard", "total_max_attempts": 5},
        # servers other than Amazon's seldom have a name for each bucket
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
        raise ConfigurationError(f"the settings of the storage (METERLINE_STORAGE_…): {_said(error)}") from None
    return client, (BotoCoreError, ClientError)


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
