"""Who asks, and what they may do."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field

from meterline_deploy.embedded.clickhouse.errors import AUTHENTICATION_FAILED, READONLY, refusal

# what an analyst may choose: how answers look, never how much they cost
_CHOOSABLE = ("output_format_", "format_", "input_format_", "date_time_", "session_timezone", "http_", "log_comment")
_IGNORED = frozenset({"enable_http_compression", "http_response_buffer_size", "http_wait_end_of_query", "final"})

ANALYST_LIMITS: dict[str, str] = {
    "max_execution_time": "60",
    "max_memory_usage": "2000000000",
    "max_rows_to_read": "1000000000",
    "max_bytes_to_read": "100000000000",
    "max_result_rows": "5000000",
    "max_result_bytes": "1000000000",
    "max_ast_elements": "50000",
    "allow_ddl": "0",
    "final": "1",  # a table that replaces rows shows each once
}


@dataclass(frozen=True)
class User:
    """``limits`` are set after whatever the request asks for, and nothing can be set after them."""

    name: str
    password: str = field(repr=False)
    may_write: bool = True
    limits: Mapping[str, str] = field(default_factory=dict)

    def admit(self, settings: Mapping[str, str]) -> dict[str, str]:
        """The settings of a request that apply.

        Raises:
            EngineError: this user may not change one of them.
        """
        if self.may_write:
            return dict(settings)
        admitted = {}
        for name, value in settings.items():
            if name in _IGNORED:
                continue
            if not name.startswith(_CHOOSABLE):
                raise refusal(READONLY, "READONLY", f"Cannot modify '{name}' setting in readonly mode.")
            admitted[name] = value
        return admitted


def users(password: str, analyst_password: str) -> dict[str, User]:
    return {
        "default": User("default", password),
        "analyst": User("analyst", analyst_password, may_write=False, limits=ANALYST_LIMITS),
    }


def authenticate(known: Mapping[str, User], headers: Mapping[str, str], parameters: Mapping[str, str]) -> User:
    """The user of a request: ``X-ClickHouse-User``/``-Key``, HTTP basic, or ``user=``/``password=``.

    Raises:
        EngineError: 516, as ClickHouse says it, whether the name or the password is wrong.
    """
    name, password = _credentials(headers, parameters)
    user = known.get(name)
    # compared in any case, so that the answer takes as long for a name that does not exist
    right = hmac.compare_digest((user.password if user else "").encode(), password.encode())
    if user is None or not right:
        raise refusal(
            AUTHENTICATION_FAILED,
            "AUTHENTICATION_FAILED",
            f"{name}: Authentication failed: password is incorrect, or there is no user with such name.",
        )
    return user


def _credentials(headers: Mapping[str, str], parameters: Mapping[str, str]) -> tuple[str, str]:
    if "x-clickhouse-user" in headers or "x-clickhouse-key" in headers:
        return headers.get("x-clickhouse-user", "default"), headers.get("x-clickhouse-key", "")
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            name, _, password = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "default", "\0"
        return name or "default", password
    return parameters.get("user") or "default", parameters.get("password", "")
