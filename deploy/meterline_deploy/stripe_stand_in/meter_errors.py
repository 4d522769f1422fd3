"""Meter events that were accepted and cannot be counted: collected, and told by thin events, with samples only."""

from __future__ import annotations

from itertools import groupby
from typing import Any, Final

from meterline_deploy.stripe_stand_in import events
from meterline_deploy.stripe_stand_in.account import Account, moment
from meterline_deploy.stripe_stand_in.store import Document

SAMPLES: Final = 5


def note(account: Account, code: str, message: str, identifier: str, event_name: str, meter: Document | None) -> None:
    account.add("meter_error", {
        "id": account.identity("mtrerr"), "code": code, "message": message, "identifier": identifier,
        "event_name": event_name, "meter": meter["id"] if meter else None, "at": account.instant,
    })  # fmt: skip


def report(account: Account, *, at_once: bool = False) -> None:
    """Tell what is old enough to be told: one event of each meter, one of all names that no meter has."""
    collected = account.store.every("meter_error")
    if not collected:
        return
    age = account.instant - min(each["at"] for each in collected)
    if not at_once and 0 <= age < account.settings.report_seconds:
        return
    collected.sort(key=lambda each: each["meter"] or "")
    for meter, group in groupby(collected, key=lambda each: each["meter"]):
        errors = list(group)
        kind = "v1.billing.meter.error_report_triggered" if meter else "v1.billing.meter.no_meter_found"
        related = {"id": meter, "type": "billing.meter", "url": f"/v1/billing/meters/{meter}"} if meter else None
        events.thin(account, kind, related, reasons(errors))
    for each in collected:
        account.store.delete("meter_error", each["id"])


def reasons(errors: list[Document]) -> dict[str, Any]:
    errors = sorted(errors, key=lambda each: each["code"])
    types = []
    for code, group in groupby(errors, key=lambda each: each["code"]):
        found = list(group)
        samples = [
            {"error_message": each["message"], "request": {"identifier": each["identifier"]}}
            for each in found[:SAMPLES]
        ]
        types.append({"code": code, "error_count": len(found), "sample_errors": samples})
    count = len(errors)
    return {
        "developer_message_summary": f"There {'is 1 invalid event' if count == 1 else f'are {count} invalid events'}",
        "reason": {"error_count": count, "error_types": types},
        "validation_start": moment(min(each["at"] for each in errors)),
        "validation_end": moment(max(each["at"] for each in errors)),
    }
