"""Who asks, and what they may do.

``default`` owns everything; ``analyst`` reads everything; the analysts of single tenants are rows of a table, which
``meterline analyst`` writes as the owner, and read the views of their tenant's database only.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from meterline_deploy.embedded.clickhouse.config import ANALYST_ROLE, tenant_role
from meterline_deploy.embedded.clickhouse.errors import AUTHENTICATION_FAILED, READONLY, UNKNOWN_DATABASE, refusal

# what an analyst may choose: how answers look, never how much they cost
_CHOOSABLE = ("output_format_", "format_", "input_format_", "date_time_", "session_timezone", "http_", "log_comment")
# what drivers send with every statement, and means nothing for one that reads
_IGNORED = frozenset(
    {
        *("enable_http_compression", "http_response_buffer_size", "http_wait_end_of_query", "final"),
        *("async_insert", "wait_for_async_insert", "insert_deduplicate", "result_overflow_mode"),
    }
)

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
TENANT_LIMITS: dict[str, str] = {**ANALYST_LIMITS, "max_execution_time": "30", "max_memory_usage": "1000000000"}


@dataclass(frozen=True)
class User:
    """``limits`` are set after whatever the request asks for, and nothing can be set after them.

    ``role``: what the engine lets the user read; empty for the owner. ``database``: the only one of a tenant's analyst.
    """

    name: str
    password_sha256: str = field(repr=False)
    may_write: bool = True
    limits: Mapping[str, str] = field(default_factory=dict)
    role: str = ""
    database: str = ""

    def database_of(self, asked: str) -> str:
        """The database that names without one mean. ``default`` is what clients send that were told none.

        Raises:
            EngineError: 81, where a tenant's analyst asks for another than the own.
        """
        if self.database and asked not in ("", "default", self.database):
            raise refusal(UNKNOWN_DATABASE, "UNKNOWN_DATABASE", f"Database {asked} does not exist")
        return self.database or asked

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
            if not name.startswith(_CHOOSABLE) and not self._lowers(name, value):
                raise refusal(READONLY, "READONLY", f"Cannot modify '{name}' setting in readonly mode.")
            admitted[name] = value
        return admitted

    def limits_under(self, admitted: Mapping[str, str]) -> dict[str, str]:
        """The limits, but for those that the request lowers."""
        return {name: value for name, value in self.limits.items() if name not in admitted}

    def _lowers(self, name: str, value: str) -> bool:
        limit = self.limits.get(name, "")
        return limit.isdigit() and value.isdecimal() and value.isascii() and 0 < int(value) <= int(limit)


class Users:
    """``find`` gives the SHA-256 of the password, in hexadecimal, and the database of a tenant's analyst, or None."""

    def __init__(
        self, password: str, analyst_password: str, find: Callable[[str], tuple[str, str] | None] = lambda _name: None
    ) -> None:
        self._own = {
            "default": User("default", digest(password)),
            "analyst": User(
                "analyst", digest(analyst_password), may_write=False, limits=ANALYST_LIMITS, role=ANALYST_ROLE
            ),
        }
        self._find = find

    def get(self, name: str) -> User | None:
        found = None if name in self._own else self._find(name)
        if found is None:
            return self._own.get(name)
        password_sha256, database = found
        return User(
            name,
            password_sha256,
            may_write=False,
            limits=TENANT_LIMITS,
            role=tenant_role(database),
            database=database,
        )


def digest(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()


def authenticate(known: Users, headers: Mapping[str, str], parameters: Mapping[str, str]) -> User:
    """The user of a request: ``X-ClickHouse-User``/``-Key``, HTTP basic, or ``user=``/``password=``.

    Raises:
        EngineError: 516, as ClickHouse says it, whether the name or the password is wrong.
    """
    name, password = _credentials(headers, parameters)
    user = known.get(name)
    # compared in any case, so that the answer takes as long for a name that does not exist
    right = hmac.compare_digest((user.password_sha256 if user else digest("")).encode(), digest(password).encode())
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
