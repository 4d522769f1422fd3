"""The OpenAPI document: what all routes have in common is said here once."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from fastapi.routing import APIRoute

from meterline_api.access.routes import Guarded, guarded
from meterline_api.documents.shared import DocumentRoute
from meterline_api.examples import problem
from meterline_api.problems import Code

TAGS: Final = [
    {"name": "events", "description": "Events in, and what became of each."},
    {"name": "usage", "description": "What was used: by tenant, metric, window and dimension."},
    {"name": "exports", "description": "Everything as files: streamed, and resumed where they broke off."},
    {"name": "metrics", "description": "What is counted."},
    {"name": "quotas", "description": "What is included, and what is left."},
    {"name": "thresholds", "description": "When somebody is told, or no more is taken."},
    {"name": "tenants", "description": "What is known of customers besides their ids."},
    {"name": "plans", "description": "What usage costs, and who is on which plan."},
    {"name": "notifications", "description": "What was told, to whom, and how that went."},
    {"name": "webhooks", "description": "Where notifications are sent."},
    {"name": "storage", "description": "How much tenants store, measured."},
    {"name": "billing", "description": "What usage costs, invoices of it, and the jobs that bill it."},
    {"name": "access", "description": "API keys and who one is."},
    {"name": "audit", "description": "Who changed or read what."},
    {"name": "openmeter", "description": "OpenMeter's API, so that its clients work as they are."},
    {"name": "document 1", "description": "Requirement document 1 in its own forms."},
    {"name": "document 2", "description": "Requirement document 2 in its own forms."},
    {"name": "document 3", "description": "Requirement document 3 by the names of its commands and queries."},
    {"name": "document 4", "description": "Requirement document 4 in its own forms."},
    {"name": "document 5", "description": "Requirement document 5 in its own forms."},
    {"name": "health", "description": "How the server is."},
]

_DETAILS: Final = {
    HTTPStatus.UNAUTHORIZED: (
        Code.UNAUTHORIZED,
        "No valid key or token.",
        "send a valid API key as Authorization: Bearer <key>",
    ),
    HTTPStatus.FORBIDDEN: (
        Code.PERMISSION_DENIED,
        "The caller may not do this, or does not reach the tenant.",
        "this key or token does not reach tenant 'acme'; ask an administrator",
    ),
    HTTPStatus.TOO_MANY_REQUESTS: (
        Code.RATE_LIMITED,
        "Too many requests: `Retry-After` says in how many seconds to try again.",
        "more than 1000 per 1 second of key:abcd; try again in 1 s, or send events in batches",
    ),
    HTTPStatus.INTERNAL_SERVER_ERROR: (
        Code.INTERNAL_ERROR,
        "The server failed.",
        "the server failed; its log says where",
    ),
}
_ERROR: Final = {"$ref": "#/components/schemas/ErrorModel"}
_PROBLEM: Final = {"$ref": "#/components/schemas/ProblemModel"}
_OF_FRAMEWORK: Final = {"$ref": "#/components/schemas/HTTPValidationError"}  # which nothing here answers


def name_of(route: APIRoute) -> str:
    """The operation id that client generators make a method of: the name of the route's function."""
    return route.name


def describe(app: FastAPI) -> None:
    """Make the document of an application whose routes are all there.

    Raises:
        LookupError: a route needs no right.
    """
    routes = list(guarded(app))
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            for each in routes:
                for method in each.route.methods or ():
                    _add_refusals(document["paths"][each.route.path_format][method.lower()], each)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _add_refusals(operation: dict[str, Any], guarded: Guarded) -> None:
    of_document = isinstance(guarded.route.original_route, DocumentRoute)
    wrong = operation["responses"].get("422", {}).get("content", {}).get("application/json", {}).get("schema")
    if wrong == _OF_FRAMEWORK and not of_document:
        operation["responses"]["422"] = problem(
            "A parameter is missing or not of its form.",
            422,
            HTTPStatus.UNPROCESSABLE_ENTITY.phrase,
            Code.INVALID_REQUEST,
            "metric: Field required",
        )
    for status, (code, description, detail) in _DETAILS.items():
        if of_document:
            example = {"error": {"code": code, "message": detail, "details": {}}}
            content = {"application/json": {"schema": _ERROR, "example": example}}
            answer = {"description": description, "content": content}
        else:
            answer = problem(description, int(status), status.phrase, code, detail)
        found = operation["responses"].setdefault(str(int(status)), answer)
        if found.get("content", {}).get("application/json", {}).get("schema") == _PROBLEM:
            operation["responses"][str(int(status))] = answer  # the framework knows problems as plain JSON
