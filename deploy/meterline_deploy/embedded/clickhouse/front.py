"""ClickHouse's HTTP interface as an ASGI application.

Statements run in threads, so that a long one does not hold up a short one; analysts have threads of their own, so
that they cannot hold up those who write.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from meterline_deploy.embedded.clickhouse.bodies import choose, pack
from meterline_deploy.embedded.clickhouse.errors import EngineError
from meterline_deploy.embedded.clickhouse.formats import content_type
from meterline_deploy.embedded.clickhouse.request import Request, parse_request
from meterline_deploy.embedded.clickhouse.server import Result, Server
from meterline_deploy.embedded.clickhouse.users import User, Users, authenticate

WRITERS = 48
ANALYSTS = 8
ENTRANCE = 2  # who asks is looked up there


def application(server: Server, users: Users) -> Starlette:
    front = _Front(server, users)
    return Starlette(
        routes=[
            Route("/", front.root, methods=["GET", "HEAD", "POST", "PUT", "OPTIONS"]),
            Route("/ping", front.ping, methods=["GET", "HEAD"]),
            Route("/replicas_status", front.ping, methods=["GET", "HEAD"]),
        ]
    )


class _Front:
    def __init__(self, server: Server, users: Users) -> None:
        self._server = server
        self._users = users
        self._writers = ThreadPoolExecutor(WRITERS, "query")
        self._analysts = ThreadPoolExecutor(ANALYSTS, "analyst")
        self._entrance = ThreadPoolExecutor(ENTRANCE, "entrance")

    async def ping(self, request: HttpRequest) -> Response:
        return PlainTextResponse("Ok.\n", headers=self._about())

    async def root(self, request: HttpRequest) -> Response:
        arguments = dict(request.query_params)
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={"Allow": "OPTIONS, GET, HEAD, POST"})
        if request.method in ("GET", "HEAD") and "query" not in arguments:
            return await self.ping(request)
        headers = dict(request.headers)
        query_id = arguments.get("query_id", "")
        try:
            loop = asyncio.get_running_loop()
            user = await loop.run_in_executor(self._entrance, authenticate, self._users, headers, arguments)
            body = await request.body()
            pool = self._writers if user.may_write else self._analysts
            return await loop.run_in_executor(pool, self._answer, user, request.method, headers, arguments, body)
        except EngineError as error:
            return self._error(error, query_id)

    def _answer(
        self, user: User, method: str, headers: Mapping[str, str], arguments: Mapping[str, str], body: bytes
    ) -> Response:
        request = parse_request(method, headers, arguments, body)
        try:
            result = self._server.run(user, request)
        except EngineError as error:
            return self._error(error, request.query_id)
        encoding = choose(headers.get("accept-encoding", "")) if request.compress_answer else ""
        return Response(
            pack(result.answer.body, encoding) if encoding else result.answer.body,
            headers={
                **self._about(request.query_id),
                **({"Content-Encoding": encoding} if encoding else {}),
                **_summary(result, request),
            },
        )

    def _about(self, query_id: str = "") -> dict[str, str]:
        about = {
            "X-ClickHouse-Server-Display-Name": self._server.engine.host_name,
            "X-ClickHouse-Timezone": self._server.engine.timezone,
        }
        return {**about, "X-ClickHouse-Query-Id": query_id} if query_id else about

    def _error(self, error: EngineError, query_id: str) -> Response:
        text = str(error)
        version = f" (version {self._server.engine.version})"
        return PlainTextResponse(
            f"{text}\n" if version in text else f"{text}{version}\n",
            error.status,
            {**self._about(query_id), "X-ClickHouse-Exception-Code": str(error.code)},
        )


def _summary(result: Result, request: Request) -> dict[str, str]:
    answer = result.answer
    summary = {
        "read_rows": answer.read_rows,
        "read_bytes": answer.read_bytes,
        "written_rows": answer.written_rows,
        "written_bytes": answer.written_bytes,
        "total_rows_to_read": answer.read_rows,
        "result_rows": answer.written_rows,
        "result_bytes": len(answer.body) or answer.written_bytes,
        "elapsed_ns": int(answer.seconds * 1e9),
    }
    return {
        "Content-Type": content_type(result.format),
        "X-ClickHouse-Format": result.format,
        "X-ClickHouse-Summary": json.dumps({name: str(value) for name, value in summary.items()}),
    }
