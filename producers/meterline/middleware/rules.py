"""Which requests of an app count, and as how much. Pure: an edge says what happened, this says what that means."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Final, Literal, NamedTuple

from meterline.encoding import Quantity, name_text, quantity_text
from meterline_schemas.errors import ConfigurationError

Reason = Literal[
    "status", "unmatched", "endpoint_failed", "no_tenant", "tenant_failed", "quantity_failed", "refused"
]  # fmt: skip
Measure = Literal["bytes_in", "bytes_out", "seconds"]

MEASURES: Final = ("bytes_in", "bytes_out", "seconds")
# a client may send any word as its method; OpenTelemetry names the others so
METHODS: Final = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"))
OTHER_METHOD: Final = "_OTHER"
_STATUSES: Final = re.compile(r"([1-5])xx|([1-5]\d\d)(?:-([1-5]\d\d))?", re.ASCII)
_NANO: Final = 1_000_000_000


class Answered(NamedTuple):
    """A request whose answer is sent. ``endpoint`` is the route's template, empty where no route matched.

    ``status`` is 0 where the app never answered. The bytes are those of the bodies: what the app read, and what was
    handed to the server before the client was gone.
    """

    method: str
    endpoint: str
    status: int
    bytes_in: int
    bytes_out: int
    nanoseconds: int


class Rules:
    """What a middleware counts.

    ``include`` and ``exclude`` are patterns of whole paths, in which ``*`` stands for any text, slashes too.
    ``statuses`` are like ``"2xx"``, ``"200-299"`` or ``404``. ``quantity`` is a number, ``"bytes_in"``,
    ``"bytes_out"``, ``"seconds"`` or a callable; every callable is given the request.

    Raises:
        ConfigurationError: a pattern, status or extractor that cannot be meant.
        InvalidUsageError: a metric or quantity that can never count.
        TypeError: a metric or quantity of the wrong type; a float is one.
    """

    def __init__(
        self,
        metric: str = "api_calls",
        *,
        tenant: Callable[[Any], object],
        quantity: Quantity | Measure | Callable[[Any], Quantity] = 1,
        include: Iterable[str] = ("*",),
        exclude: Iterable[str] = (),
        statuses: Iterable[str | int] = ("2xx",),
        subject: Callable[[Any], object] | None = None,
        properties: Callable[[Any], Mapping[str, Any]] | None = None,
        endpoint: Callable[[Any], object] | None = None,
    ) -> None:
        name_text("metric", metric)
        if not callable(quantity) and quantity not in MEASURES:
            quantity_text(quantity)
        for name, extractor in (("subject", subject), ("properties", properties), ("endpoint", endpoint)):
            if extractor is not None and not callable(extractor):
                raise ConfigurationError(f"{name} must be a callable that is given the request, or None")
        if not callable(tenant):
            raise ConfigurationError(
                "tenant must be a callable that is given the request, like header('x-tenant-id') or state('tenant_id')"
            )
        self.metric = metric
        self.tenant = tenant
        self.quantity = quantity
        self.subject = subject
        self.extra = properties
        self.endpoint = endpoint
        self.counts_in = quantity == "bytes_in"
        self.counts_out = quantity == "bytes_out"
        self._included = _paths("include", include)
        self._excluded = _paths("exclude", exclude)
        self._statuses = _codes(statuses)

    def watches(self, path: str) -> bool:
        """Whether requests of this path are looked at."""
        return self._included(path) is not None and self._excluded(path) is None

    def passed_over(self, status: int, endpoint: str) -> Reason | None:
        """Why an answer does not count, or None where it does."""
        if status not in self._statuses:
            return "status"
        return None if endpoint else "unmatched"

    def amount(self, answered: Answered, request: Any) -> Quantity:
        """How much it counts; raises what a callable raises."""
        match self.quantity:
            case "bytes_in":
                return answered.bytes_in
            case "bytes_out":
                return 0 if answered.method == "HEAD" else answered.bytes_out  # no server sends a body for HEAD
            case "seconds":
                return seconds(answered.nanoseconds)
            case quantity:
                return quantity(request) if callable(quantity) else quantity

    @staticmethod
    def properties(answered: Answered, extra: Mapping[str, Any] | None) -> dict[str, Any]:
        """Endpoint, method and status; ``extra`` is added to them and may replace them."""
        method = answered.method if answered.method in METHODS else OTHER_METHOD
        return {"endpoint": answered.endpoint, "method": method, "status": answered.status, **(extra or {})}


def seconds(nanoseconds: int) -> Decimal:
    """Exact, whatever the precision of the app's decimal context."""
    return Decimal(f"{nanoseconds // _NANO}.{nanoseconds % _NANO:09d}")


def identity(value: object) -> str | None:
    """A tenant or subject as its text; None where there is none. Numbers and UUIDs become their usual text."""
    return None if value is None else str(value) or None


def _paths(name: str, patterns: Iterable[str]) -> Callable[[str], re.Match[str] | None]:
    texts = _several(name, patterns)
    for text in texts:
        if not isinstance(text, str) or not text.startswith(("/", "*")):
            raise ConfigurationError(
                f"{name}: {text!r} is no pattern of a path: it begins with / or *, like '/api/v1/*'"
            )
    choices = ("".join(".*" if part == "*" else re.escape(part) for part in re.split(r"(\*)", text)) for text in texts)
    return re.compile("|".join(f"(?:{choice})" for choice in choices) or "(?!)", re.DOTALL).fullmatch


def _codes(statuses: Iterable[str | int]) -> frozenset[int]:
    codes: set[int] = set()
    for each in _several("statuses", statuses):
        found = _STATUSES.fullmatch(str(each))
        if found is None:
            raise ConfigurationError(f"statuses: {each!r} is none; give them like '2xx', '200-299' or 404")
        hundred, first, last = found.groups()
        if hundred:
            codes.update(range(int(hundred) * 100, int(hundred) * 100 + 100))
        else:
            codes.update(range(int(first), int(last or first) + 1))
    if not codes:
        raise ConfigurationError("statuses: none is named, so that nothing would count; leave it out for '2xx'")
    return frozenset(codes)


def _several(name: str, values: Iterable[Any]) -> tuple[Any, ...]:
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise ConfigurationError(f"{name} must be a list or tuple, not {values!r}")
    return tuple(values)
