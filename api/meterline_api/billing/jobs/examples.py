"""The answers about runs, and the body of a request for one, as the OpenAPI document shows them."""

from __future__ import annotations

from typing import Any, Final

from meterline_api.billing.jobs.models import DryRunAnswer, RunAnswer, RunRequest
from meterline_api.examples import UNAUTHORIZED, json_body, problem

Answers = dict[int | str, dict[str, Any]]

_RUN: Final = {
    "job": "push",
    "due": "2026-11-22T01:00:00Z",
    "state": "done",
    "owner": "billing-1:4711:9f86d081",
    "begun_at": "2026-11-22T01:00:00.021Z",
    "seen_at": "2026-11-22T01:00:04.513Z",
    "ended_at": "2026-11-22T01:00:04.513Z",
    "asked_by": "",
    "result": {"pushed": "21", "unchanged": "3"},
    "problems": ["tenant acme has no Stripe customer: name it with PUT /v1/tenants/acme"],
}
_ASKED: Final = {**_RUN, "state": "running", "ended_at": None, "asked_by": "key:abcd", "result": {}, "problems": []}
_DRY: Final = {
    "job": "push",
    "due": "2026-11-22T01:00:00Z",
    "dry_run": True,
    "result": {"would_push": "21", "unchanged": "3"},
    "problems": [],
}
_BODY: Final = {"job": "push", "due": "2026-11-22T01:00:00Z", "dry_run": False}
_KAFKA: Final = problem(
    "Kafka does not answer, or something that a dry run needs.",
    503,
    "Service Unavailable",
    "kafka_unavailable",
    "cannot find the start of billing.runs[0]: Local: Timed out",
)


def _ok(description: str, example: Any) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"example": example}}}


def _wrong(code: str, detail: str) -> dict[str, Any]:
    return problem("Parameters or fields are wrong.", 422, "Unprocessable Entity", code, detail)


LIST: Final[Answers] = {
    200: _ok("Runs, the last instant first.", {"data": [_RUN], "next_cursor": "MTc5NTMwOTIwMCBwdXNo"}),
    401: UNAUTHORIZED,
    422: _wrong("invalid_cursor", "cursor is none that this server gave; start again without one"),
    503: _KAFKA,
}
ONE: Final[Answers] = {
    200: _ok("The run.", _RUN),
    401: UNAUTHORIZED,
    404: problem("There is none.", 404, "Not Found", "not_found", "push was not run for 2026-11-22T01:00:00Z"),
    422: _wrong("invalid_request", "due: Input should be a valid datetime"),
    503: _KAFKA,
}
BEGIN: Final[Answers] = {
    200: {"model": DryRunAnswer, **_ok("A dry run: what would be done.", _DRY)},
    202: {"model": RunAnswer, **_ok("The run: begun, or there already, being done or done.", _ASKED)},
    400: problem("The body is no JSON object.", 400, "Bad Request", "invalid_json", "the body is no JSON"),
    401: UNAUTHORIZED,
    409: problem(
        "The server does not do this job, or is doing it for another instant.",
        409,
        "Conflict",
        "conflict",
        "this server does not do the job push: it is not set up here, and is not scheduled",
    ),
    413: problem(
        "The body is too large.",
        413,
        "Request Entity Too Large",
        "body_too_large",
        "a request may have 262144 bytes, also when unpacked; send it in parts",
    ),
    415: problem(
        "An encoding that is not read.",
        415,
        "Unsupported Media Type",
        "unsupported_encoding",
        "Content-Encoding 'br' is not read; send gzip, zstd or none",
    ),
    422: _wrong("invalid_request", "due: has not come yet"),
    503: _KAFKA,
}
REQUEST: Final = json_body(RunRequest, _BODY)
