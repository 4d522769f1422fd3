"""The document's entities and ours, both ways. Pure.

The document's fields are in camelCase, its enumerations are answered in upper case and taken in any, its decimals are
JSON numbers. Its organisation is our tenant; a user or project is a subject of one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, NoReturn

from meterline_api.numbers import number
from meterline_schemas.catalog import Book, FieldProblem, Metric, RefusedError, Threshold

METRIC: Final[Mapping[str, str]] = {
    "key": "key",
    "name": "name",
    "description": "description",
    "unit": "unit",
    "aggregationType": "aggregation",
    "resetPeriod": "reset_period",
    "orgId": "tenant_id",
    "uniqueBy": "unique_by",
    "groupBy": "group_by",
    "allowNegative": "allow_negative",
    "retired": "retired",
}
"""Fields of a MetricDefinition; those from ``uniqueBy`` on are ours."""

THRESHOLD: Final[Mapping[str, str]] = {
    "id": "id",
    "metricKey": "metric",
    "threshold": "amount",
    "action": "action",
    "notifyEmails": "notify_emails",
}
"""Fields of a UsageThreshold, but its subject."""

SUBJECT: Final = ("subjectType", "subjectId", "orgId")

_BELOW: Final = ("user", "project")


def ours(fields: Mapping[str, Any], names: Mapping[str, str], also: Iterable[str] = ()) -> dict[str, Any]:
    """Fields by our names; one that is null counts as not given. ``also`` are names that are not translated.

    Raises:
        RefusedError: for every name that is not known.
    """
    known = [*names, *also]
    unknown = [
        FieldProblem(name, f"is not known; fields are {', '.join(known)}") for name in fields.keys() - set(known)
    ]
    if unknown:
        raise RefusedError("invalid", sorted(unknown, key=lambda problem: problem.field))
    return {names[name]: value for name, value in fields.items() if name in names and value is not None}


def theirs(errors: Iterable[Mapping[str, str]], names: Mapping[str, str]) -> list[dict[str, str]]:
    """What is wrong with each field, by the document's names."""
    named = {our: their for their, our in names.items()}
    found = []
    for error in errors:
        head, *rest = error["field"].split(".")
        found.append({"field": ".".join([named.get(head, head), *rest]), "detail": error["detail"]})
    return found


def scope(fields: Mapping[str, Any]) -> tuple[str, str]:
    """``subjectType``, ``subjectId`` and ``orgId`` as our tenant and subject; the subject of an org is empty.

    Raises:
        RefusedError: they name nobody.
    """
    kind, id, org = (fields.get(name) for name in SUBJECT)
    kind = kind.lower() if isinstance(kind, str) else kind
    if kind not in ("org", *_BELOW):
        _refuse("subjectType", f"is {kind!r}; choose one of org, user, project" if kind else "is missing")
    if not isinstance(id, str) or not id:
        _refuse("subjectId", "is missing" if id in (None, "") else "must be text")
    if org is not None and not isinstance(org, str):
        _refuse("orgId", "must be text")
    if kind == "org":
        if org not in (None, "", id):
            _refuse("orgId", f"is {org!r}, but the subject is the organisation {id!r}; leave it out")
        return id, ""
    if not org:
        _refuse("orgId", f"is missing: a {kind} is known within its organisation only")
    return org, f"{kind}:{id}"


def subject(tenant_id: str, subject: str) -> dict[str, Any]:
    """Our tenant and subject as the document's. A threshold for all tenants has a null ``subjectId``."""
    if not subject:
        return {"subjectType": "org", "subjectId": tenant_id or None}
    kind, colon, id = subject.partition(":")
    if not colon or kind not in _BELOW:
        kind, id = "subject", subject
    return {"subjectType": kind, "subjectId": id, "orgId": tenant_id}


def metric_definition(metric: Metric) -> dict[str, Any]:
    found: dict[str, Any] = {
        "id": metric.key,
        "key": metric.key,
        "name": metric.name,
        "description": metric.description,
        "unit": metric.unit,
        "aggregationType": metric.aggregation.upper(),
        "resetPeriod": metric.reset_period.upper(),
        "orgId": metric.tenant_id or None,
        "retired": metric.retired,
    }
    if metric.unique_by:
        found["uniqueBy"] = metric.unique_by
    return found


def usage_threshold(threshold: Threshold, book: Book) -> dict[str, Any]:
    """A threshold in percent of a quota has what the quota includes as its ``threshold``, null where there is none."""
    quota = book.quota(threshold.tenant_id, threshold.metric, threshold.subject)
    value = threshold.amount if threshold.amount is not None else quota.included if quota is not None else None
    return {
        "id": threshold.id,
        "metricKey": threshold.metric,
        **subject(threshold.tenant_id, threshold.subject),
        "threshold": None if value is None else number(value),
        "action": threshold.action.upper(),
        "notifyEmails": threshold.notify_emails,
    }


def instant(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def total(value: str | None, aggregation: str) -> Any:
    """A total as a JSON number. Nothing used is 0 or, of an average or an extreme, null."""
    if value is None:
        return number(Decimal(0)) if aggregation in ("count", "sum", "time_weighted", "unique_count") else None
    return number(value)


def _refuse(field: str, detail: str) -> NoReturn:
    raise RefusedError("invalid", [FieldProblem(field, detail)])
