"""What may be said about Kafka client properties and errors: never the value of a secret."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

_SECRET: Final = re.compile(r"password|secret|passphrase|jaas|token$|\.pem$|private|credential|oauthbearer\.config")
_ECHO: Final = (
    (re.compile(r'Invalid value ".*" for configuration property', re.DOTALL), "Invalid value for property"),
    (re.compile(r'(Invalid value for configuration property "[^"]*").*', re.DOTALL), r"\1"),
    (re.compile(r"Unsupported SASL mechanism: .*", re.DOTALL), "Unsupported sasl.mechanism"),
    (re.compile(r"(Configuration property `[^`]*` set) to `.*` but", re.DOTALL), r"\1 but"),
    (re.compile(r"(Unrecognized sasl\.oauthbearer\.config) beginning at:.*", re.DOTALL), r"\1"),
)
_SHORTEST: Final = 3  # characters of what is hidden: less is no secret, and would make the sentence unreadable


def is_secret(name: str) -> bool:
    """Whether the value of a property of this name is nobody's business."""
    return _SECRET.search(name.lower()) is not None


def without_secrets(text: str, properties: Mapping[str, object]) -> str:
    """``text`` with every secret value of ``properties`` as ``***`` and without values that librdkafka repeats."""
    hidden = {piece for name, value in properties.items() if is_secret(name) for piece in _pieces(value)}
    for piece in sorted(hidden, key=len, reverse=True):
        text = text.replace(piece, "***")
    for echo, instead in _ECHO:
        text = echo.sub(instead, text)
    return text


def refusal(kind: str, text: str) -> str:
    """A sentence for an error of a connection. ``kind`` is librdkafka's name of the error, such as ``_SSL``."""
    text = re.sub(r" \(after \d+ms in state [A-Z_]+(?:, \d+ identical error\(s\) suppressed)?\)$", "", text)
    if "AUTHENTICATION" in kind:
        return f"Kafka does not let this client in: {text}; look at the sasl.* properties of METERLINE_KAFKA_CONFIG"
    if kind == "_SSL" or "SSL" in text:
        return f"no TLS connection to Kafka: {text}; look at the ssl.* properties of METERLINE_KAFKA_CONFIG"
    return f"Kafka does not answer: {text}"


def _pieces(value: object) -> Iterable[str]:
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    pairs = (part.partition("=")[2] for part in text.split() if "=" in part)
    return (piece for piece in (text, *pairs) if len(piece) >= _SHORTEST)
