"""The document's metrics and thresholds: thin on the routes of the catalog."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from fastapi import Request, Response

from meterline_api.access.guard import caller
from meterline_api.access.visible import may_read
from meterline_api.document3 import forms
from meterline_api.documents.shared import answer
from meterline_api.entries import editor_of, fields_of, problems
from meterline_api.metric_usage import has_usage
from meterline_api.problems import Problem
from meterline_api.routes import metrics, thresholds
from meterline_schemas.catalog import FieldProblem, Metric, RefusedError, Threshold


async def arguments(request: Request) -> dict[str, Any]:
    """What a command or query was called with: a JSON object or, with GET, query parameters."""
    return dict(request.query_params) if request.method == "GET" else await fields_of(request)


async def define_metric(request: Request) -> Response:
    _fields, given = await _called(request, forms.METRIC)
    with named(forms.METRIC):
        written = await metrics.ENTRIES.create(request, given)
    return answer(forms.metric_definition(written))


async def update_metric(request: Request) -> Response:
    fields, given = await _called(request, forms.METRIC, "id")
    with named(forms.METRIC):
        written = await metrics.ENTRIES.change(request, _id(fields, "id", "key"), given)
    return answer(forms.metric_definition(written))


async def delete_metric(request: Request) -> Response:
    fields, _given = await _called(request, {}, "id", "key")
    with named(forms.METRIC):
        key = metrics.ENTRIES.get(request, _id(fields, "id", "key")).key
        used = await has_usage(request.app.state.service, key)
        await metrics.ENTRIES.delete(request, key, has_usage=used)
    return answer({"id": key, "key": key, "deleted": True})


async def get_metric(request: Request) -> Response:
    fields, _given = await _called(request, {}, "id", "key")
    with named({}):
        return answer(forms.metric_definition(metrics.ENTRIES.get(request, _id(fields, "id", "key"))))


async def list_metrics(request: Request) -> Response:
    fields, _given = await _called(request, {}, "orgId")
    org = fields.get("orgId")
    found = [
        metric
        for metric in editor_of(request).catalog.all(Metric)
        if org in (None, metric.tenant_id) and may_read(caller(request), metric)
    ]
    return answer({"metrics": [forms.metric_definition(metric) for metric in found]})


async def create_threshold(request: Request) -> Response:
    fields, given = await _called(request, forms.THRESHOLD, *forms.SUBJECT)
    with named(forms.THRESHOLD):
        if "amount" not in given:
            raise RefusedError("invalid", [FieldProblem("amount", "is missing")])
        whole = {"id": thresholds.new_id(), **given, **_scope(fields)}
        written = await thresholds.ENTRIES.create(request, whole)
    return answer(forms.usage_threshold(written, editor_of(request).catalog.book))


async def update_threshold(request: Request) -> Response:
    fields, given = await _called(request, forms.THRESHOLD, *forms.SUBJECT)
    with named(forms.THRESHOLD):
        id = _id(fields, "id")
        if any(fields.get(name) is not None for name in forms.SUBJECT):
            given |= _scope(fields)
        written = await thresholds.ENTRIES.change(request, id, given)
    return answer(forms.usage_threshold(written, editor_of(request).catalog.book))


async def delete_threshold(request: Request) -> Response:
    fields, _given = await _called(request, {}, "id")
    with named({}):
        id = _id(fields, "id")
        await thresholds.ENTRIES.delete(request, id)
    return answer({"id": id, "deleted": True})


async def list_thresholds(request: Request) -> Response:
    fields, _given = await _called(request, {}, "metricKey", *forms.SUBJECT)
    with named({}):
        whose = forms.scope(fields) if "subjectType" in fields or "subjectId" in fields else None
    book, metric, org = editor_of(request).catalog.book, fields.get("metricKey"), fields.get("orgId")
    found = [
        forms.usage_threshold(threshold, book)
        for threshold in book.all(Threshold)
        if may_read(caller(request), threshold)
        and metric in (None, threshold.metric)
        and whose in (None, (threshold.tenant_id, threshold.subject))
        and org in (None, threshold.tenant_id)
    ]
    return answer({"thresholds": found})


async def _called(request: Request, names: Mapping[str, str], *also: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields of a call, and those of ``names`` by our names.

    Raises:
        Problem: a field is neither of ``names`` nor one of ``also``.
    """
    fields = await arguments(request)
    with named({}):
        return fields, forms.ours(fields, names, also)


def _scope(fields: Mapping[str, Any]) -> dict[str, str]:
    tenant_id, subject = forms.scope(fields)
    return {"tenant_id": tenant_id, "subject": subject}


def _id(fields: Mapping[str, Any], *names: str) -> str:
    given = next((fields[name] for name in names if fields.get(name) is not None), None)
    if not isinstance(given, str) or not given:
        raise RefusedError("invalid", [FieldProblem(names[0], "is missing" if given is None else "must be text")])
    return given


@contextmanager
def named(names: Mapping[str, str]) -> Iterator[None]:
    """Refusals as problems, and the fields of problems by the document's names."""
    try:
        with problems():
            yield
    except Problem as found:
        if "errors" not in found.more:
            raise
        errors = forms.theirs(found.more["errors"], names)
        detail = "; ".join(f"{error['field']}: {error['detail']}".removeprefix(": ") for error in errors)
        raise Problem(found.status, found.code, detail, headers=found.headers, errors=errors) from None
