"""Arguments in a multipart/form-data body (RFC 7578), where clients put those that are too long for a URL. Pure."""

from __future__ import annotations

import re
from typing import Final

from meterline_deploy.embedded.clickhouse.errors import BAD_ARGUMENTS, NOT_IMPLEMENTED, refusal

_BOUNDARY: Final = re.compile(r'boundary="?([^";,]{1,70})"?')
_NAME: Final = re.compile(rb'[;\s]name="([^"\r\n]*)"')
_FILE: Final = re.compile(rb"[;\s]filename\*?=")


def read_form(content_type: str, body: bytes) -> dict[str, str]:
    """The fields of a form.

    Raises:
        EngineError: it is none, is no text, or holds a file: a table for the query, which is not supported.
    """
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise refusal(BAD_ARGUMENTS, "BAD_ARGUMENTS", "multipart/form-data without a boundary")
    edge = b"--" + found[1].encode()
    parts = (b"\r\n" + body).split(b"\r\n" + edge)
    if len(parts) < 2 or parts[-1].strip() != b"--":
        raise refusal(BAD_ARGUMENTS, "BAD_ARGUMENTS", "the form is cut off")
    return dict(_field(part) for part in parts[1:-1])


def _field(part: bytes) -> tuple[str, str]:
    head, _, value = part.partition(b"\r\n\r\n")
    if _FILE.search(head):
        raise refusal(NOT_IMPLEMENTED, "NOT_IMPLEMENTED", "External data in multipart/form-data is not supported here")
    name = _NAME.search(head)
    try:
        return (name[1] if name else b"").decode(), value.decode()
    except UnicodeDecodeError:
        raise refusal(BAD_ARGUMENTS, "BAD_ARGUMENTS", "the form is not UTF-8 text") from None
