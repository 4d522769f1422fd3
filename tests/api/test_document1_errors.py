"""What fails on a document's path is answered in its form, and says nothing of what failed."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

import httpx
import pytest
from fastapi import APIRouter, FastAPI

from meterline_api.documents.shared import DocumentRoute
from meterline_api.problems import Code, Problem
from meterline_api.routes.document1 import ReportRoute


def get(route: type[DocumentRoute], failure: Exception) -> httpx.Response:
    router = APIRouter(route_class=route)

    @router.get("/report")
    async def report() -> None:
        raise failure

    app = FastAPI()
    app.include_router(router)

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return await client.get("/report")

    return asyncio.run(ask())


def test_a_failure_is_a_server_error_in_the_form_of_document_1(caplog: pytest.LogCaptureFixture) -> None:
    found = get(ReportRoute, RuntimeError("a\nsecret"))
    assert found.status_code == 500
    assert found.json()["error"]["code"] == "server_error"
    assert found.json()["error"]["message"] == "Internal server error generating usage report."
    assert "secret" not in found.text
    (said,) = caplog.messages
    assert "RuntimeError: a secret" in said
    assert "\n" not in said


def test_on_the_other_documents_paths_codes_are_those_of_v1() -> None:
    assert get(DocumentRoute, RuntimeError("x")).json()["error"]["code"] == "internal_error"
    problem = Problem(HTTPStatus.CONFLICT, Code.CONFLICT, "no", errors=[])
    assert get(DocumentRoute, problem).json() == {
        "error": {"code": "conflict", "message": "no", "details": {"errors": []}}
    }
