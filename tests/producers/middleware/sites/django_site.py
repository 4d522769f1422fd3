"""Settings, urls and views of a Django site, for WSGI and ASGI; what it counts is named by ``SITE_QUANTITY``."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

from django.http import FileResponse, HttpResponse, StreamingHttpResponse
from django.urls import include, path, re_path

from meterline.middleware import header, user

SECRET_KEY = "for tests"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = __name__
MIDDLEWARE = ["meterline.middleware.django.UsageMiddleware", f"{__name__}.authenticate"]
FILE_UPLOAD_MAX_MEMORY_SIZE = 10_000
METERLINE = {
    "tenant": f"{__name__}.tenant",
    "subject": user("name"),
    "quantity": os.environ.get("SITE_QUANTITY", "1"),
    "properties": lambda request: {"agent": header("user-agent")(request)},
    "exclude": ["/health/"],
}


class User:
    def __init__(self, name: str) -> None:
        self.org_id, self.name = name, f"{name}-user"


def tenant(request: Any) -> Any:
    return user("org_id")(request)


def authenticate(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A middleware that knows no async, as many do not."""

    def middleware(request: Any) -> Any:
        if "x-tenant" in request.headers:
            request.user = User(request.headers["x-tenant"])
        return get_response(request)

    return middleware


def item(_request: Any, id: int) -> HttpResponse:
    if id == 13:
        raise RuntimeError("a bug of the app")
    return HttpResponse(f"{os.getpid()}")


async def slowly(_request: Any) -> HttpResponse:
    await asyncio.sleep(0)
    return HttpResponse("done")


def upload(request: Any) -> HttpResponse:
    sizes = [len(request.POST.get("text", "")), *(file.size for file in request.FILES.values())]
    return HttpResponse(f"{sum(sizes)}")


def body(request: Any) -> HttpResponse:
    return HttpResponse(f"{len(request.body)} {len(request.body)} {len(request.POST)} {len(request.read())}")


def stream(_request: Any) -> StreamingHttpResponse:
    def pieces() -> Iterator[bytes]:
        for length in (1, 20_000, 3):
            yield b"s" * length

    return StreamingHttpResponse(pieces())


async def stream_async(_request: Any) -> StreamingHttpResponse:
    async def pieces() -> AsyncIterator[bytes]:
        for length in (1, 20_000, 3):
            yield b"s" * length

    return StreamingHttpResponse(pieces())


async def endless(_request: Any) -> StreamingHttpResponse:
    async def pieces() -> AsyncIterator[bytes]:
        while True:
            yield b"s" * 1_000
            await asyncio.sleep(0.001)

    return StreamingHttpResponse(pieces())


def file(_request: Any) -> FileResponse:
    return FileResponse(Path(os.environ["SITE_FILE"]).open("rb"))


inner = [path("items/<int:id>/", item), re_path(r"^numbered/(?P<id>\d+)/$", item)]
urlpatterns = [
    path("api/v1/", include(inner)),
    path("health/", slowly),
    path("slowly/", slowly),
    path("upload/", upload),
    path("body/", body),
    path("stream/", stream),
    path("stream-async/", stream_async),
    path("endless/", endless),
    path("file/", file),
]
