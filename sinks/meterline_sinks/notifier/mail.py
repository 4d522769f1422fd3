"""The e-mail of a notification, as text. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any, Final

import msgspec

from meterline_schemas.notification import ThresholdCrossed, Type

_decode: Final = msgspec.json.Decoder(ThresholdCrossed).decode
_decode_fields: Final = msgspec.json.Decoder(dict[str, Any]).decode
_MAX_SUBJECT: Final = 300

_ENDS: Final = {
    "period_ended": "a new period has begun",
    "period_changed": "its period was changed",
    "limit_raised": "the limit was raised",
    "threshold_deleted": "the threshold was deleted",
    None: "it is over",
}


def message(
    notification_id: str, type: str, timestamp: datetime, data: bytes | msgspec.Raw, sender: str, recipient: str
) -> EmailMessage:
    """Plain text. The same notification always gives the same message, by its Message-ID as well.

    Raises:
        ValueError: ``data`` is not that of its type.
    """
    if type.startswith("threshold."):
        crossed = _decode(data)
        title, text = subject(type, crossed), body(type, crossed)
    else:
        fields = _decode_fields(data)
        title, text = headline(type, fields), listing(type, fields)
    mail = EmailMessage(policy=SMTP)
    mail["Subject"] = _line(title)[:_MAX_SUBJECT]
    mail["From"] = sender
    mail["To"] = recipient
    mail["Date"] = timestamp
    mail["Message-ID"] = f"<{_line(notification_id)}@{sender.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office replies
    mail.set_content(text)
    return mail


def subject(type: str, crossed: ThresholdCrossed) -> str:
    """Such as ``acme is at 100 % of 10000 orders``."""
    if type == Type.THRESHOLD_RESOLVED:
        return f"{_who(crossed)}: {crossed.limit} {crossed.metric} resolved, {_ENDS[crossed.reason]}"
    return f"{_who(crossed)} is at {plain(crossed.percent)} % of {crossed.limit} {crossed.metric}"


def body(type: str, crossed: ThresholdCrossed) -> str:
    rows = [
        ("Tenant", crossed.tenant_id),
        ("Subject", crossed.subject),
        ("Metric", crossed.metric),
        ("Usage", f"{crossed.usage} of {crossed.limit} ({plain(crossed.percent)} %)"),
        ("Step", f"{plain(crossed.step)} %"),
        ("Period", f"{crossed.period}, {crossed.period_start.isoformat()} to {crossed.period_end.isoformat()}"),
        ("Estimated cost", f"{crossed.estimated_cost} {crossed.currency or ''}" if crossed.estimated_cost else ""),
        ("Threshold", crossed.threshold_id),
    ]
    lines = [f"{name + ':':<16}{_line(value)}".rstrip() for name, value in rows if value]
    if crossed.action == "block" and type == Type.THRESHOLD_EXCEEDED:
        lines += ["", "Further usage over HTTP is refused until the period ends or the limit is raised."]
    return "\n".join([_line(subject(type, crossed)) + ".", "", *lines, ""])


def headline(type: str, fields: Mapping[str, Any]) -> str:
    """Such as ``push for 2026-11-22T01:00:00Z: 3 problems``; else the type and whom it is about."""
    if type == Type.RUN_PROBLEMS:
        failed = ", and failed" if fields.get("state") == "failed" else ""
        count = fields.get("count")
        return f"{fields.get('job')} for {fields.get('due')}: {count} problem{'' if count == 1 else 's'}{failed}"
    return f"{type}: {fields.get('tenant_id') or 'all tenants'}"


def listing(type: str, fields: Mapping[str, Any]) -> str:
    """Every field, and what it has several of line by line."""
    lines = [_line(headline(type, fields)) + ".", ""]
    for name, value in fields.items():
        label = f"{name.replace('_', ' ').capitalize()}:"
        if isinstance(value, list):
            lines += [label, *(f"  {_line(each if isinstance(each, str) else _encode(each))}" for each in value)]
        elif value not in (None, ""):
            lines.append(f"{label:<16}{_line(value if isinstance(value, str) else _encode(value))}")
    return "\n".join([*lines, ""])


def plain(number: str) -> str:
    """A decimal without zeros that say nothing: ``100.00`` is ``100``."""
    return number.rstrip("0").rstrip(".") if "." in number else number


def _who(crossed: ThresholdCrossed) -> str:
    return f"{crossed.tenant_id}, {crossed.subject}," if crossed.subject else crossed.tenant_id


def _encode(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _line(text: str) -> str:
    """One line of what others wrote: nothing in it may begin another header."""
    return "".join(each if each.isprintable() else "?" for each in text)
