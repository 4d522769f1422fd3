"""What the routes of all kinds of catalog entries do alike: list, get, create, replace, change, delete."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from itertools import islice
from typing import Any, Final, Generic, TypeVar

import msgspec
from fastapi import Request, Response
from pydantic import BaseModel, ValidationError

from meterline_api.access.guard import caller, denied
from meterline_api.access.visible import may_change, may_read, whose
from meterline_api.audit.auditing import author_of
from meterline_api.bodies import read_body
from meterline_api.editor import Editor
from meterline_api.fields import FieldsError, read_fields
from meterline_api.opaque import opaque, plain
from meterline_api.problems import Code, Problem
from meterline_schemas.catalog import (
    Book,
    Entry,
    FieldProblem,
    Metric,
    Quota,
    RefusedError,
    Threshold,
    Webhook,
    changes,
    read_entry,
)
from meterline_schemas.catalog.entry import problems_of
from meterline_schemas.catalog.plan_changes import ClosedUntil
from meterline_schemas.errors import UnavailableError

_MAX_BYTES: Final = 256 * 1024  # of a body: an entry is far smaller
_RETRY: Final = {"Retry-After": "1"}
_REFUSED: Final[Mapping[str, tuple[HTTPStatus, Code]]] = {
    "invalid": (HTTPStatus.UNPROCESSABLE_ENTITY, Code.INVALID_REQUEST),
    "not_found": (HTTPStatus.NOT_FOUND, Code.NOT_FOUND),
    "conflict": (HTTPStatus.CONFLICT, Code.CONFLICT),
    "meaning": (HTTPStatus.CONFLICT, Code.MEANING_WOULD_CHANGE),
    "has_usage": (HTTPStatus.CONFLICT, Code.METRIC_HAS_USAGE),
    "in_use": (HTTPStatus.CONFLICT, Code.IN_USE),
}

Kind = TypeVar("Kind", bound=Entry)
Model = TypeVar("Model", bound=BaseModel)
Decide = Callable[[Book], Kind]
Reads = Callable[[Request, Entry], bool]


def _reads(request: Request, entry: Entry) -> bool:
    return may_read(caller(request), entry)


class Entries(Generic[Kind]):
    """Entries of one kind over HTTP. Every method raises ``Problem``.

    ``show`` is how one is answered, ``reads`` whether the caller of a request may read one.
    """

    def __init__(
        self, kind: type[Kind], show: Callable[[Kind], BaseModel] = lambda entry: entry, reads: Reads = _reads
    ) -> None:
        self._kind = kind
        self._show = show
        self._reads = reads

    def page(
        self, request: Request, limit: int, cursor: str | None, keep: Callable[[Kind], bool] = lambda _entry: True
    ) -> Response:
        after = None if cursor is None else plain(cursor)
        if cursor is not None and after is None:
            raise Problem(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                Code.INVALID_CURSOR,
                "cursor is none that this server gave; start again without one",
            )
        entries = (
            entry
            for entry in editor_of(request).catalog.all(self._kind)
            if (after is None or entry.identity > after) and self._reads(request, entry) and keep(entry)
        )
        found = list(islice(entries, limit + 1))
        body: dict[str, Any] = {"data": [document(self._show(entry)) for entry in found[:limit]]}
        if len(found) > limit:
            body["next_cursor"] = opaque(found[limit - 1].identity)
        return answer(body)

    def get(self, request: Request, identity: str) -> Kind:
        """An entry; one that the caller may not read is not there."""
        found = editor_of(request).catalog.find(self._kind, identity)
        if found is None or not self._reads(request, found):
            raise Problem(HTTPStatus.NOT_FOUND, Code.NOT_FOUND, f"there is no {self._kind.kind} {identity[:300]!r}")
        return found

    def one(self, request: Request, identity: str) -> Response:
        return answer(document(self._show(self.get(request, identity))))

    async def create(self, request: Request, fields: Mapping[str, Any]) -> Kind:

        def decide(book: Book) -> Kind:
            entry = read_entry(self._kind, fields)
            self._refuse_unreached(request, book, entry)
            self._refuse_unknown(request, book, fields)
            return changes.create(book, entry, now=datetime.now(UTC), closed_until=closed_until_of(request))

        return await self._put(request, decide)

    async def replace(self, request: Request, fields: Mapping[str, Any], identity: str | None = None) -> Response:
        """Create the entry, or put it in the place of the one with its key: what is not given has its default.

        ``identity`` is the key that the path names, where it names one: the body must not name another.
        """
        with problems():
            entry = read_entry(self._kind, fields)
            if identity not in (None, entry.identity):
                detail = f"the path says {identity!r} and the body {entry.identity!r}: one of them is meant"
                raise RefusedError("invalid", [FieldProblem("", detail)])
        before = editor_of(request).catalog.find(self._kind, entry.identity)

        def checked(book: Book) -> Kind:
            self._refuse_unreached(request, book, entry)
            self._refuse_unknown(request, book, fields)
            changes.check(book, entry, now=datetime.now(UTC), closed_until=closed_until_of(request))
            return entry

        written = await self._put(request, checked)
        return answer(document(self._show(written)), HTTPStatus.CREATED if before is None else HTTPStatus.OK)

    async def update(self, request: Request, identity: str, fields: Mapping[str, Any]) -> Response:
        written = await self.change(request, identity, fields)
        return answer(document(self._show(written)))

    async def change(self, request: Request, identity: str, fields: Mapping[str, Any]) -> Kind:
        """Change the fields that are given."""

        def decide(book: Book) -> Kind:
            self._refuse_unreached(request, book, self._existing(request, book, identity))
            self._refuse_unknown(request, book, fields)
            now, closed_until = datetime.now(UTC), closed_until_of(request)
            entry = changes.update(book, self._kind, identity, fields, now=now, closed_until=closed_until)
            self._refuse_unreached(request, book, entry)
            return entry

        return await self._put(request, decide)

    async def delete(self, request: Request, identity: str, *, has_usage: bool = False) -> Response:
        def decide(book: Book) -> Kind:
            self._refuse_unreached(request, book, self._existing(request, book, identity))
            closed_until = closed_until_of(request)
            return changes.delete(book, self._kind, identity, has_usage=has_usage, closed_until=closed_until)

        with problems():
            await editor_of(request).delete(decide, author_of(request))
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def _put(self, request: Request, decide: Decide[Kind]) -> Kind:
        with problems():
            return await editor_of(request).put(decide, author_of(request))

    def _existing(self, request: Request, book: Book, identity: str) -> Kind:
        """An entry to be changed; one that the caller may not read is not there, as in ``get``."""
        found = changes.existing(book, self._kind, identity)
        if not self._reads(request, found):
            raise RefusedError("not_found", [FieldProblem("", f"there is no {self._kind.kind} {identity!r}")])
        return found

    def _refuse_unreached(self, request: Request, book: Book, entry: Kind) -> None:
        """Refuse an entry unless the caller may change it and what it takes the place of.

        It comes before the catalog's own checks, which tell what they compare it with.
        """
        for each in (book.find(self._kind, entry.identity), entry):
            if each is not None and not may_change(caller(request), each):
                raise denied(f"{self._kind.kind} {entry.identity[:100]!r} is of a tenant that you do not reach")

    def _refuse_unknown(self, request: Request, book: Book, fields: Mapping[str, Any]) -> None:
        """Refuse another tenant's metric or webhook in a quota or threshold, as one that is not defined."""
        if self._kind not in (Quota, Threshold):
            return
        metric, webhooks = fields.get("metric"), fields.get("notify_webhooks")
        if isinstance(metric, str) and _is_foreign(request, book.find(Metric, metric)):
            raise RefusedError(
                "invalid", [FieldProblem("metric", f"{metric!r} is not defined; define the metric first")]
            )
        for name in webhooks if isinstance(webhooks, list | tuple) else ():
            if isinstance(name, str) and _is_foreign(request, book.find(Webhook, name)):
                detail = f"{name}: not defined; define the webhook first"
                raise RefusedError("invalid", [FieldProblem("notify_webhooks", detail)])


def _is_foreign(request: Request, entry: Entry | None) -> bool:
    """Whether an entry is of a tenant that the caller does not reach; what is for all tenants is not."""
    return entry is not None and bool(whose(entry)) and not caller(request).sees(whose(entry))


def editor_of(request: Request) -> Editor:
    editor: Editor = request.app.state.editor
    return editor


def closed_until_of(request: Request) -> ClosedUntil | None:
    """Until when tenants are invoiced; None where this process does not invoice."""
    found: ClosedUntil | None = getattr(request.app.state, "closed_until", None)
    return found


async def fields_of(request: Request) -> dict[str, Any]:
    """The members of the body's JSON object.

    Raises:
        Problem: 400, or 413 for one that is larger than any entry.
    """
    try:
        return read_fields(await read_body(request, _MAX_BYTES))
    except FieldsError as error:
        raise Problem(HTTPStatus.BAD_REQUEST, Code.INVALID_JSON, str(error)) from None


async def model_of(request: Request, kind: type[Model]) -> Model:
    """The body as a model. A parameter of the route would be read before it is known who calls, however large it is.

    Raises:
        Problem: as ``fields_of``; 422 with every mistake.
    """
    fields = await fields_of(request)
    try:
        return kind.model_validate(fields)
    except ValidationError as invalid:
        raise refusal(RefusedError("invalid", problems_of(invalid, kind.model_fields))) from None


@contextmanager
def problems() -> Iterator[None]:
    """Refusals of the catalog, and Kafka not answering, as problems."""
    try:
        yield
    except RefusedError as refused:
        raise refusal(refused) from None
    except UnavailableError as error:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, Code.KAFKA_UNAVAILABLE, str(error), headers=_RETRY) from None


def refusal(refused: RefusedError) -> Problem:
    """With every mistake in ``errors``."""
    status, code = _REFUSED[refused.code]
    errors = [{"field": problem.field, "detail": problem.detail} for problem in refused.problems]
    return Problem(status, code, str(refused), errors=errors)


def document(entry: BaseModel) -> dict[str, Any]:
    return entry.model_dump(mode="json")


def answer(body: Any, status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(body), status, headers, media_type="application/json")
