"""What a request does: one handle of the engine, set up for its user, one statement, one answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from meterline_deploy.embedded.clickhouse.engine import Answer, Engine, Handle
from meterline_deploy.embedded.clickhouse.request import Request
from meterline_deploy.embedded.clickhouse.sessions import Sessions
from meterline_deploy.embedded.clickhouse.statement import Statement, check, check_tenant
from meterline_deploy.embedded.clickhouse.users import User


class Result(NamedTuple):
    answer: Answer
    format: str


class Server:
    """Thread-safe; every call may take as long as its statement."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._sessions = Sessions(engine.open)

    @property
    def engine(self) -> Engine:
        return self._engine

    def run(self, user: User, request: Request) -> Result:
        """
        Raises:
            EngineError: with ClickHouse's code, whatever it is that was wrong.
        """
        settings = user.admit(request.settings)
        statement = self._engine.parse(request.text)
        check(statement, may_write=user.may_write)
        database = user.database_of(request.database)
        if user.database:
            check_tenant(statement, self._engine.table_functions)
        with self._handle(user, request) as handle:
            handle.set(settings)
            try:
                if database:
                    handle.use(database)
                if user.role:
                    handle.take(user.role)
                handle.set(user.limits_under(settings))
                if not user.may_write:
                    handle.set({"readonly": "1"})  # from here on nothing can be set on this handle
                elif request.reads_only:
                    handle.set({"readonly": "2"})
                return Result(self._execute(handle, statement, request), statement.format or request.format)
            finally:
                if user.may_write and request.session and not request.reads_only:
                    handle.reset(settings)  # a session keeps what it SET itself

    def _execute(self, handle: Handle, statement: Statement, request: Request) -> Answer:
        if request.rows is not None and statement.inserts_rows:
            return handle.insert(statement.insert_header, statement.format or request.format, request.rows)
        return handle.query(request.text, request.format, request.parameters)

    @contextmanager
    def _handle(self, user: User, request: Request) -> Iterator[Handle]:
        # a handle that was made read-only stays so: such a request has its own
        if request.session and user.may_write and not request.reads_only:
            with self._sessions.take(
                user.name, request.session, request.session_seconds, must_exist=request.session_must_exist
            ) as handle:
                yield handle
            if request.session_closes:
                self._sessions.forget(user.name, request.session)
            return
        handle = self._engine.open()
        try:
            yield handle
        finally:
            handle.close()
