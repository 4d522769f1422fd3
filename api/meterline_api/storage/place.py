"""Where tenants' data lies, as a URL says it. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

TENANT: Final = "{tenant}"
_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}", re.ASCII)
_FORMS: Final = (
    "write it like file:///data/tenants (a folder for each tenant), s3://bucket/prefix/ (a prefix for each) "
    "or s3://files-{tenant}/ (a bucket for each)"
)


@dataclass(frozen=True)
class Folder:
    """Every folder right below ``path`` is a tenant's."""

    path: str


@dataclass(frozen=True)
class Bucket:
    """What stands between ``prefix`` (empty, or with a slash at its end) and the next slash of a key is a tenant."""

    name: str
    prefix: str


@dataclass(frozen=True)
class Buckets:
    """Every bucket named ``before`` + tenant + ``after`` is a tenant's; only keys under ``prefix`` count."""

    before: str
    after: str
    prefix: str

    def tenant(self, bucket: str) -> str | None:
        """Whose bucket it is, or None."""
        middle = bucket[len(self.before) : len(bucket) - len(self.after)]
        return middle if middle and bucket == self.before + middle + self.after else None


Place = Folder | Bucket | Buckets


def parse(url: str) -> Place:
    """The place that a URL names.

    Raises:
        ValueError: it names none; the text says how to write one.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError(f"{url[:200]!r} is no URL; {_FORMS}") from None
    if parts.query or parts.fragment:
        raise ValueError(f"{url[:200]!r} has a ? or #, which mean nothing here; write them as %3F and %23")
    path = unquote(parts.path)
    if "\0" in path:
        raise ValueError("a path has no character 0")
    match parts.scheme:
        case "file" if parts.netloc in ("", "localhost") and path.startswith("/"):
            return Folder(path)
        case "s3" if parts.netloc:
            # a tenant is the part of a key between two slashes: a prefix that ends within a part would cut it
            prefix = path.removeprefix("/")
            return _buckets(parts.netloc, prefix if not prefix or prefix.endswith("/") else prefix + "/")
    raise ValueError(f"{url[:200]!r} is no storage that can be measured; {_FORMS}")


def _buckets(name: str, prefix: str) -> Bucket | Buckets:
    before, found, after = name.partition(TENANT)
    if not all(_BUCKET.fullmatch("a" + part.replace(TENANT, "")) for part in (before, after)) or TENANT in after:
        raise ValueError(f"{name[:200]!r} is no name of a bucket; {_FORMS}")
    return Buckets(before, after, prefix) if found else Bucket(name, prefix)
