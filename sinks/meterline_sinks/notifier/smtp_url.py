"""``METERLINE_SMTP_URL`` in its parts. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

_PORTS: Final = {"smtp": 587, "smtps": 465}
_START_TLS: Final = {"required": True, "never": False, "auto": None}


@dataclass(frozen=True)
class SmtpUrl:
    """``start_tls``: True must, False never, None if the server offers it."""

    host: str
    port: int
    tls: bool
    start_tls: bool | None
    user: str | None
    password: str | None = field(repr=False)


def read_smtp_url(url: str) -> SmtpUrl:
    """``smtp://user:password@host:port?starttls=required|auto|never``, or ``smtps://`` for TLS from the first byte.

    A password does not go over an open line unless ``starttls=never`` or ``auto`` says so.

    Raises:
        ValueError: it is none. The text does not repeat the URL, which may hold a password.
    """
    parts = urlsplit(url)
    try:
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        port = None
    if port is None or not parts.hostname or parts.path not in ("", "/"):
        raise ValueError("write it like smtp://user:password@mail.example.com:587 or smtps://…, special signs as %40")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    wanted = options.pop("starttls", "required" if parts.username else "auto")
    if options or wanted not in _START_TLS:
        raise ValueError("only ?starttls=required, ?starttls=auto or ?starttls=never may follow the port")
    tls = parts.scheme == "smtps"
    return SmtpUrl(
        host=parts.hostname,
        port=port,
        tls=tls,
        start_tls=False if tls else _START_TLS[wanted],
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
    )
