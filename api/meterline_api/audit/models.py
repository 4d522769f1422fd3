"""What goes over HTTP about the audit log, and how the OpenAPI document shows it."""

from __future__ import annotations

from typing import Any, Final

from pydantic import AwareDatetime, BaseModel, Field

from meterline_api.examples import problem

Answers = dict[int | str, dict[str, Any]]


class AuditEntryAnswer(BaseModel):
    """One entry."""

    seq: int = Field(description="Its number, from 1, without gaps.")
    id: str
    at: AwareDatetime
    actor: str = Field(description="`root`, `key:<id>`, `token:<subject>` or `cli:<user of the system>`.")
    origin: str = Field(description="Address of the caller, or the host that a command ran on.")
    request_id: str = Field(description="`X-Request-Id` of the request, or empty.")
    action: str
    resource_type: str
    resource_id: str
    tenant_id: str = Field(description="Empty where it is of no tenant.")
    before: dict[str, Any] | None = Field(description="The thing before, without secrets.")
    after: dict[str, Any] | None
    details: dict[str, Any] | None
    previous: str = Field(description="`hash` of the entry before it.")
    hash: str = Field(description="SHA-256 of everything else in it.")


class AuditHeadAnswer(BaseModel):
    """The last entry's number and hash; 0 and 64 zeros where there is none yet."""

    seq: int
    hash: str
    at: AwareDatetime | None


_QUOTA: Final = {"metric": "orders", "tenant_id": "acme", "included": "10000", "version": 1}
_ENTRY: Final = {
    "seq": 18,
    "id": "aud_5f0c1d5c9a7b4e0fb1d2c3e4f5061728",
    "at": "2026-11-21T12:00:00.120Z",
    "actor": "key:k7f3a9",
    "origin": "203.0.113.7",
    "request_id": "",
    "action": "quota.updated",
    "resource_type": "quota",
    "resource_id": "orders/acme/",
    "tenant_id": "acme",
    "before": _QUOTA,
    "after": {**_QUOTA, "included": "20000", "version": 2},
    "details": None,
    "previous": "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b",
    "hash": "d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35",
}
LIST: Final[Answers] = {
    200: {
        "description": "Entries, the newest first.",
        "content": {"application/json": {"example": {"data": [_ENTRY], "next_cursor": "MTggNDI"}}},
    },
    422: problem(
        "A parameter is wrong.",
        422,
        "Unprocessable Entity",
        "invalid_cursor",
        "cursor is none that this server gave; start again without one",
    ),
    503: problem(
        "ClickHouse does not answer.",
        503,
        "Service Unavailable",
        "clickhouse_unavailable",
        "ClickHouse at http://127.0.0.1:8123 does not answer: Connection refused",
    ),
}
HEAD: Final[Answers] = {
    200: {
        "description": "The end of the log.",
        "content": {
            "application/json": {"example": {"seq": 18, "hash": _ENTRY["hash"], "at": "2026-11-21T12:00:00.120Z"}}
        },
    },
    503: problem(
        "Kafka does not answer.",
        503,
        "Service Unavailable",
        "kafka_unavailable",
        "cannot find the start of meterline.audit[0]: Local: Broker transport failure",
    ),
}
