"""Errors as ClickHouse's HTTP interface words them: a code in a header and in the text, and an HTTP status."""

from __future__ import annotations

import re
from typing import Final

UNSUPPORTED: Final = 1
BAD_ARGUMENTS: Final = 36
NOT_IMPLEMENTED: Final = 48
SYNTAX_ERROR: Final = 62
UNKNOWN_DATABASE: Final = 81
READONLY: Final = 164
SESSION_NOT_FOUND: Final = 372
SESSION_IS_LOCKED: Final = 373
BAD_REQUEST_PARAMETER: Final = 36
CANNOT_DECOMPRESS: Final = 271
ACCESS_DENIED: Final = 497
AUTHENTICATION_FAILED: Final = 516
UNKNOWN_COMPRESSION_METHOD: Final = 89
INTO_OUTFILE_NOT_ALLOWED: Final = 358
UNKNOWN_EXCEPTION: Final = 1002

# as HTTPHandler::exceptionCodeToHTTPStatus has them
_BAD_REQUEST: Final = {6, 25, 26, 27, 32, 36, 38, 41, 43, 53, 62, 69, 72, 117, 130, 131, 168, 306, 441}
_NOT_FOUND: Final = {46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 139, 152, 336}
_STATUS: Final = {
    NOT_IMPLEMENTED: 501,
    159: 408,  # TIMEOUT_EXCEEDED
    194: 401,  # REQUIRED_PASSWORD
    192: 403,  # UNKNOWN_USER
    193: 403,  # WRONG_PASSWORD
    AUTHENTICATION_FAILED: 403,
    ACCESS_DENIED: 403,
    209: 503,  # SOCKET_TIMEOUT
    76: 503,  # CANNOT_OPEN_FILE
    381: 411,  # HTTP_LENGTH_REQUIRED
    164: 403,  # READONLY
}
_CODE = re.compile(r"Code: (\d+)\. ")
_WRAPPING = re.compile(r"^(?:Streaming insert (?:append|finish) failed: |Streaming query failed: )")


class EngineError(Exception):
    """A query failed. ``code`` is ClickHouse's number, the text is for its user."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code

    @property
    def status(self) -> int:
        if self.code in _BAD_REQUEST:
            return 400
        if self.code in _NOT_FOUND:
            return 404
        return _STATUS.get(self.code, 500)


def refusal(code: int, name: str, text: str) -> EngineError:
    """An error that the front itself finds, in the engine's own form."""
    return EngineError(code, f"Code: {code}. DB::Exception: {text} ({name})")


def from_engine(error: Exception) -> EngineError:
    text = _WRAPPING.sub("", str(error))
    found = _CODE.search(text)
    code = int(found.group(1)) if found else UNKNOWN_EXCEPTION
    if not found:
        text = f"Code: {code}. DB::Exception: {text} (UNKNOWN_EXCEPTION)"
    return EngineError(code, text)
