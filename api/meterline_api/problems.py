"""Errors as callers see them: RFC 9457 problem documents, each with a ``code`` that never changes its meaning."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final

import msgspec
from fastapi import Response

MEDIA_TYPE: Final = "application/problem+json"


class Code(StrEnum):
    """What programs branch on. Closed."""

    UNAUTHORIZED = "unauthorized"
    PERMISSION_DENIED = "permission_denied"
    RATE_LIMITED = "rate_limited"
    INVALID_REQUEST = "invalid_request"
    INVALID_SIGNATURE = "invalid_signature"
    INVALID_JSON = "invalid_json"
    INVALID_ENCODING = "invalid_encoding"
    INVALID_EVENTS = "invalid_events"
    INVALID_IDEMPOTENCY_KEY = "invalid_idempotency_key"
    INVALID_CURSOR = "invalid_cursor"
    INVALID_RANGE = "invalid_range"
    QUERY_TOO_LARGE = "query_too_large"
    NO_EVENTS = "no_events"
    TOO_MANY_EVENTS = "too_many_events"
    BODY_TOO_LARGE = "body_too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    UNSUPPORTED_ENCODING = "unsupported_encoding"
    UNKNOWN_METRIC = "unknown_metric"
    CONFLICT = "conflict"
    MEANING_WOULD_CHANGE = "meaning_would_change"
    METRIC_HAS_USAGE = "metric_has_usage"
    IN_USE = "in_use"
    QUOTA_EXCEEDED = "quota_exceeded"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    NOT_READY = "not_ready"
    KAFKA_UNAVAILABLE = "kafka_unavailable"
    CLICKHOUSE_UNAVAILABLE = "clickhouse_unavailable"
    STRIPE_UNAVAILABLE = "stripe_unavailable"
    INTERNAL_ERROR = "internal_error"
    NOT_IMPLEMENTED = "not_implemented"
    NOT_ACCEPTABLE = "not_acceptable"
    EXPORT_CHANGED = "export_changed"
    RANGE_NOT_SATISFIABLE = "range_not_satisfiable"


class Problem(Exception):
    """Raise it anywhere under a route: it becomes the answer. ``more`` are further members of the document."""

    def __init__(
        self,
        status: HTTPStatus,
        code: Code,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = headers
        self.more = more

    def response(self) -> Response:
        document = {
            "type": f"urn:meterline:problem:{self.code}",
            "title": self.status.phrase,
            "status": int(self.status),
            "code": self.code,
            "detail": self.detail,
            **self.more,
        }
        return Response(msgspec.json.encode(document), self.status, headers=self.headers, media_type=MEDIA_TYPE)
