"""Rows of the records that are not rows already: entries of the catalog and the audit log, notifications. Pure.

What has no place in ClickHouse gives no row: webhooks and API keys hold secrets, the partition count is no dimension.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import Struct

from meterline_schemas.audit import entry as audit
from meterline_schemas.catalog import (
    PARTITION_COUNT_KEY,
    ApiKey,
    Entry,
    Metric,
    Plan,
    Quota,
    StripeMeter,
    Tenant,
    TenantPlan,
    Threshold,
    Webhook,
)
from meterline_schemas.reading import UNREADABLE
from meterline_sinks.plan_rows import spans, terms

Row = tuple[str, bytes]  # a table, and a line for it

_encode: Final = msgspec.json.Encoder().encode
_NUMBER: Final = re.compile(r"-?[0-9]{1,60}(\.[0-9]{1,9})?")
_YEARS: Final = range(1970, 2299)  # what DateTime64 surely holds; a period that never ends lies beyond

_KINDS: Final[Mapping[str, tuple[type[Entry], str]]] = {
    Metric.kind: (Metric, "metrics_raw"),
    Quota.kind: (Quota, "quotas"),
    Threshold.kind: (Threshold, "thresholds"),
    Tenant.kind: (Tenant, "tenants"),
    Plan.kind: (Plan, "plans_raw"),
    TenantPlan.kind: (TenantPlan, "tenant_plans_raw"),
}
_LEFT_OUT: Final = {
    *("notify_emails", "notify_webhooks"),  # addresses and names of webhooks: whom it is told
    *("versions", "spans"),  # of plans: ``_below`` has them
    "metered_before",
}


class UnreadableError(ValueError):
    """A record of which no row can be made; the text says why, on one line."""


def catalog_row(offset: int, key: bytes | None, value: bytes | None) -> Row | None:
    """The row of a record of ``meterline.config``. None: the record is of a kind that has no table.

    Raises:
        UnreadableError: the record is none that this version can read.
    """
    kind, _, identity = (key or b"").decode(errors="replace").partition("/")
    if kind in (Webhook.kind, ApiKey.kind, StripeMeter.kind) or key == PARTITION_COUNT_KEY:
        return None
    if kind not in _KINDS:
        raise UnreadableError(f"{kind!r} is no kind of entry that this version knows")
    entry, table = _KINDS[kind]
    if value is None:
        return table, _encode({**_DELETIONS[kind](identity), "kafka_offset": offset})
    try:
        found = entry.decode(value)
    except (ValueError, *UNREADABLE) as error:
        raise UnreadableError(f"{kind} {identity!r} cannot be read: {_line(error)}") from None
    fields = found.model_dump(mode="json", exclude=_LEFT_OUT, exclude_none=True)
    if (since := fields.get("metered_since")) is not None and int(since[:4]) not in _YEARS:
        del fields["metered_since"]
    numbers = {name: int(value) if isinstance(value, bool) else value for name, value in fields.items()}
    stamps = {"changed_at": instant(found.changed_at), "kafka_offset": offset}
    return table, _encode({**numbers, **_below(found), **stamps})


def _below(entry: Entry) -> dict[str, Any]:
    """What an entry has several of."""
    match entry:
        case Plan():
            return {"terms": terms(entry)}
        case TenantPlan():
            return {"spans": spans(entry)}
        case _:
            return {}


def _deleted_quota(identity: str) -> dict[str, Any]:
    parts = [part.replace("~1", "/").replace("~0", "~") for part in identity.split("/")]
    if len(parts) != 3:
        raise UnreadableError(f"quota {identity!r} is no metric, tenant and subject")
    return {"metric": parts[0], "tenant_id": parts[1], "subject": parts[2], "is_deleted": 1}


_DELETIONS: Final[Mapping[str, Callable[[str], dict[str, Any]]]] = {
    Metric.kind: lambda identity: {"key": identity, "deleted": 1},
    Quota.kind: _deleted_quota,
    Threshold.kind: lambda identity: {"id": identity, "is_deleted": 1},
    Tenant.kind: lambda identity: {"id": identity, "is_deleted": 1},
    Plan.kind: lambda identity: {"id": identity, "is_deleted": 1},
    TenantPlan.kind: lambda identity: {"tenant_id": identity, "is_deleted": 1},
}


class _Told(Struct):
    """A notification of any type, known to this version or not."""

    id: str
    type: str
    timestamp: datetime
    tenant_id: str
    data: msgspec.Raw


class _Data(Struct):
    """What the data of some types has. Numbers come as text or, in another's form, as numbers."""

    threshold_id: str = ""
    thresholdId: str = ""
    metric: str | dict[str, Any] = ""
    subject: str = ""
    usage: msgspec.Raw = msgspec.Raw()
    currentUsage: msgspec.Raw = msgspec.Raw()
    limit: msgspec.Raw = msgspec.Raw()
    threshold: msgspec.Raw = msgspec.Raw()
    percent: msgspec.Raw = msgspec.Raw()
    step: msgspec.Raw = msgspec.Raw()
    period_start: datetime | None = None
    period_end: datetime | None = None


_told: Final = msgspec.json.Decoder(_Told)
_data: Final = msgspec.json.Decoder(_Data)


def notification_row(partition: int, offset: int, value: bytes) -> Row:
    """The row of a record of ``meterline.notifications``. Data of a form that is not known is only kept whole.

    Raises:
        UnreadableError: the record is none.
    """
    try:
        told = _told.decode(value)
        text = bytes(told.data).decode()
    except UNREADABLE as error:
        raise UnreadableError(f"it is no notification: {_line(error)}") from None
    occurred_at = instant(told.timestamp)
    if occurred_at is None:
        raise UnreadableError(f"it is no notification: {told.timestamp.isoformat()} is out of range")
    try:
        data = _data.decode(told.data)
    except msgspec.ValidationError:
        data = _Data()
    billing = bool(data.thresholdId)  # its percent is the step that was reached
    metric = data.metric if isinstance(data.metric, str) else str(data.metric.get("key", ""))
    row = {
        "id": told.id,
        "type": told.type,
        "occurred_at": occurred_at,
        "tenant_id": told.tenant_id,
        "threshold_id": data.threshold_id or data.thresholdId,
        "metric": metric,
        "subject": data.subject,
        "usage": _number(data.usage) or _number(data.currentUsage),
        "limit": _number(data.limit) or _number(data.threshold),
        "percent": None if billing else _number(data.percent),
        "step": _number(data.percent if billing else data.step),
        "period_start": instant(data.period_start),
        "period_end": instant(data.period_end),
        "data": text,
        "kafka_partition": partition,
        "kafka_offset": offset,
    }
    return "notifications", _encode(row)


def audit_row(offset: int, value: bytes) -> Row:
    """The row of a record of ``meterline.audit``.

    Raises:
        UnreadableError: the record is none.
    """
    try:
        found = audit.decode(value)
    except ValueError as error:
        raise UnreadableError(f"it is no entry of the audit log: {_line(error)}") from None
    if not 0 < found.seq < 1 << 63 or not _isinstant(found.at):
        raise UnreadableError("it is no entry of the audit log: its number or time cannot be")
    texts = {name: bytes(getattr(found, name)).decode() for name in ("before", "after", "details")}
    return "audit_log", _encode({**msgspec.structs.asdict(found), **texts, "kafka_offset": offset})


def _isinstant(text: str) -> bool:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return False
    return moment.tzinfo is not None and moment.year in _YEARS and audit.instant(moment) == text


def _number(raw: msgspec.Raw) -> str | None:
    text = bytes(raw).decode().strip('"')
    return text if _NUMBER.fullmatch(text) else None


def instant(moment: datetime | None) -> str | None:
    """As ClickHouse reads it; None outside of what its columns hold."""
    if moment is None or moment.year not in _YEARS:
        return None
    return moment.isoformat(timespec="milliseconds")


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
