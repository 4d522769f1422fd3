"""What the routes of all kinds of catalog entries do alike: list, get, create, replace, change, delete."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from itertools import islice
from typing import Any, Final, Generic, TypeVar

import msgspec
from fastapi import Request, Response
from pydantic import BaseModel

from meterline_api.access.guard import caller, denied
from meterline_api.access.visible import may_change, may_read
from meterline_api.audit import author_of
from meterline_api.bodies import read_body
from meterline_api.editor import Editor
from meterline_api.fields import FieldsError, read_fields
from meterline_api.opaque import opaque, plain
from meterline_api.problems import Code, Problem
from meterline_schemas.catalog import Book, Entry, FieldProblem, RefusedError, changes, read_entry
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
Decide = Callable[[Book], Kind]


class Entries(Generic[Kind]):
    """Entries of one kind over HTTP; ``show`` is how one is answered. Every method raises ``Problem``."""

    def __init__(self, kind: type[Kind], show: Callable[[Kind], BaseModel] = lambda entry: entry) -> None:
        self._kind = kind
        self._show = show

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
            if (after is None or entry.identity > after) and may_read(caller(request), entry) and keep(entry)
        )
        found = list(islice(entries, limit + 1))
        body: dict[str, Any] = {"data": [document(self._show(entry)) for entry in found[:limit]]}
        if len(found) > limit:
            body["next_cursor"] = opaque(found[limit - 1].identity)
        return answer(body)

    def get(self, request: Request, identity: str) -> Kind:
        """An entry; one that the caller may not read is not there."""
        found = editor_of(request).catalog.find(self._kind, identity)
        if found is None or not may_read(caller(request), found):
            raise Problem(HTTPStatus.NOT_FOUND, Code.NOT_FOUND, f"there is no {self._kind.kind} {identity[:300]!r}")
        return found

    def one(self, request: Request, identity: str) -> Response:
        return answer(document(self._show(self.get(request, identity))))

    async def create(self, request: Request, fields: Mapping[str, Any]) -> Kind:
        return await self._put(request, lambda book: changes.create(book, read_entry(self._kind, fields)))

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
            changes.check(book, entry)
            return entry

        written = await self._put(request, checked)
        return answer(document(self._show(written)), HTTPStatus.CREATED if before is None else HTTPStatus.OK)

    async def update(self, request: Request, identity: str, fields: Mapping[str, Any]) -> Response:
        written = await self.change(request, identity, fields)
        return answer(document(self._show(written)))

    async def change(self, request: Request, identity: str, fields: Mapping[str, Any]) -> Kind:
        """Change the fields that are given."""
        return await self._put(request, lambda book: changes.update(book, self._kind, identity, fields))

    async def delete(self, request: Request, identity: str, *, has_usage: bool = False) -> Response:
        def decide(book: Book) -> Kind:
            return self._allowed(request, book, changes.delete(book, self._kind, identity, has_usage=has_usage))

        with problems():
            await editor_of(request).delete(decide, author_of(request))
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def _put(self, request: Request, decide: Decide[Kind]) -> Kind:
        with problems():
            return await editor_of(request).put(
                lambda book: self._allowed(request, book, decide(book)), author_of(request)
            )

    def _allowed(self, request: Request, book: Book, entry: Kind) -> Kind:
        """The entry, where the caller may change it and what it takes the place of."""
        for each in (book.find(self._kind, entry.identity), entry):
            if each is not None and not may_change(caller(request), each):
                raise denied(f"{self._kind.kind} {entry.identity[:100]!r} is of a tenant that you do not reach")
        return entry


def editor_of(request: Request) -> Editor:
    editor: Editor = request.app.state.editor
    return editor


async def fields_of(request: Request) -> dict[str, Any]:
    """The members of the body's JSON object.

    Raises:
        Problem: 400, or 413 for one that is larger than any entry.
    """
    try:
        return read_fields(await read_body(request, _MAX_BYTES))
    except FieldsError as error:
        raise Problem(HTTPStatus.BAD_REQUEST, Code.INVALID_JSON, str(error)) from None


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
