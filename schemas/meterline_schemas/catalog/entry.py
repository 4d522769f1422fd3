"""What all entries of the catalog share: how they are read, written, and refused with every mistake at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, ClassVar, Final, Self, TypeVar
from zoneinfo import available_timezones

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer
from pydantic import ValidationError as _Invalid

from meterline_schemas.catalog.paths import path_of
from meterline_schemas.errors import MeterlineError
from meterline_schemas.event import MAX_ID
from meterline_schemas.quantity import QuantityError, read

Key = tuple[str, str]  # kind and key of an entry, such as ("metric", "api_calls")


@dataclass(frozen=True)
class FieldProblem:
    """What is wrong with one field, and how to put it right. ``field`` is empty where it is the whole."""

    field: str
    detail: str

    def __str__(self) -> str:
        return f"{self.field}: {self.detail}" if self.field else self.detail


class RefusedError(MeterlineError):
    """An entry or a change of the catalog that is not taken; nothing was changed.

    ``code`` is for programs: ``invalid``, ``not_found``, ``conflict``, ``meaning`` (it would change what past numbers
    mean), ``has_usage`` or ``in_use``.
    """

    def __init__(self, code: str, problems: Iterable[FieldProblem]) -> None:
        self.code = code
        self.problems = list(problems)
        super().__init__("; ".join(map(str, self.problems)))


class Entry(BaseModel):
    """An entry of the catalog. ``version`` counts its changes from 1; ``changed_at`` is when the last was made."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)  # it may be a secret
    kind: ClassVar[str]

    version: Annotated[int, Field(ge=1)] = 1
    changed_at: AwareDatetime | None = None

    @property
    def identity(self) -> str:
        """What tells it from the others of its kind."""
        raise NotImplementedError

    @property
    def record_key(self) -> bytes:
        return f"{self.kind}/{self.identity}".encode()

    def encode(self) -> bytes:
        return self.model_dump_json().encode()

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """The entry of a record.

        Raises:
            ValueError: it is none.
        """
        return _lean(cls.model_validate_json(value))

    def same_as(self, other: Entry | None) -> bool:
        """Whether both say the same, whenever it was written."""
        stamp: dict[str, Any] = {"version": 1, "changed_at": None}
        return other is not None and self.model_copy(update=stamp) == other.model_copy(update=stamp)

    def following(self, before: Entry | None, now: datetime) -> Self:
        """As it is written in the place of ``before``: with what an entry keeps of the one that it replaces."""
        return self

    def stamped(self, version: int, now: datetime) -> Self:
        return self.model_copy(update={"version": version, "changed_at": now})


Kind = TypeVar("Kind", bound=Entry)

_NAMES: Final[dict[frozenset[str], set[str]]] = {}


def _lean(entry: Kind) -> Kind:
    """With the set of the fields that were given shared by all entries that were given the same.

    A catalog may have very many tenants, and of each pydantic keeps a set of its own, which is more than all the rest.
    """
    for model in (entry, *(each for value in vars(entry).values() if isinstance(value, tuple) for each in value)):
        if isinstance(model, BaseModel):
            given = model.model_fields_set
            object.__setattr__(model, "__pydantic_fields_set__", _NAMES.setdefault(frozenset(given), given))
    return entry


def read_entry(kind: type[Kind], fields: Mapping[str, Any]) -> Kind:
    """An entry from what a user wrote.

    Raises:
        RefusedError: ``invalid``, with every mistake.
    """
    try:
        return kind.model_validate(dict(fields))
    except _Invalid as invalid:
        raise RefusedError("invalid", problems_of(invalid, kind.model_fields, kind)) from None


def problems_of(invalid: _Invalid, known: Iterable[str], kind: type[BaseModel] | None = None) -> list[FieldProblem]:
    """Pydantic's findings as ours; with ``kind`` those below its fields by their paths: ``versions.0.start``."""
    found: list[FieldProblem] = []
    for error in invalid.errors():
        names, model = (error["loc"], None) if kind is None else path_of(kind, error["loc"])
        field = ".".join(map(str, names))
        detail = error["msg"].removeprefix("Value error, ")
        if error["type"] == "extra_forbidden":
            fields = known if model is None else model.model_fields
            ours = ", ".join(name for name in fields if name not in ("version", "changed_at"))
            detail = f"is not known; fields are {ours}"
        elif error["type"] == "union_tag_not_found":
            detail = f"needs {error['ctx']['discriminator']}"
        elif error["type"] == "union_tag_invalid":
            detail = f"is {error['ctx']['tag']!r}; choose one of {error['ctx']['expected_tags']}"
            field += f".{error['ctx']['discriminator']}".replace("'", "")
        elif error["type"] == "missing":
            detail = "is missing"
        elif error["type"] == "too_short" and any(other.field.startswith(field + ".") for other in found):
            continue  # it is short of what was refused
        elif error["type"] == "string_pattern_mismatch":
            detail = PATTERNS.get(error["ctx"]["pattern"], detail)
        elif error["type"] == "timezone_aware" or error["type"].startswith("datetime_"):
            detail = "must be a time with its zone, such as 2026-12-01T00:00:00Z"
        elif error["type"] == "enum":
            detail = f"is {error['input']!r}; choose one of {error['ctx']['expected'].replace(' or ', ', ')}"
        found.append(FieldProblem(field, detail))
    return found


ID_PATTERN: Final = r"^[A-Za-z0-9_.-]+$"
CURRENCY_PATTERN: Final = r"^[A-Z]{3}$"
STRIPE_CUSTOMER_PATTERN: Final = r"^(cus_[A-Za-z0-9]+)?$"
SECRET_PATTERN: Final = r"^whsec_[A-Za-z0-9+/]{32,88}={0,2}$"

PATTERNS: Final = {
    ID_PATTERN: "letters, digits and _ . - only",
    CURRENCY_PATTERN: "must be a currency of ISO 4217 in capitals, such as EUR or USD",
    STRIPE_CUSTOMER_PATTERN: "must be the id of a customer at Stripe, cus_ and letters or digits, or empty",
    SECRET_PATTERN: "must be whsec_ and base64 of 24 to 64 bytes; leave it out and one is made",
}


def _in_lower_case(value: Any) -> Any:
    return value.lower() if isinstance(value, str) and not isinstance(value, StrEnum) else value


AnyCase = BeforeValidator(_in_lower_case)
"""Marks an enumeration that is taken in any case, and stored lower."""


def _decimal(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, (str, int, float, Decimal)):
        raise ValueError('must be a decimal number, such as 1.5 or "1.5"')
    try:
        return Decimal(read(str(value))[1])
    except QuantityError as error:
        raise ValueError(str(error).replace("quantity", "it")) from None


def _plain(value: Decimal) -> str:
    return format(value, "f")


Amount = Annotated[Decimal, BeforeValidator(_decimal), PlainSerializer(_plain, return_type=str)]
"""A decimal with at most 9 decimals, below 10^18, exact; text in JSON."""


def _known_zone(value: str) -> str:
    """Those of the database only: what means another zone on another machine would count in other days there."""
    if value not in _zones():
        raise ValueError(f"{value!r} is no time zone; write an IANA name such as Europe/Vienna or UTC")
    return value


@cache
def _zones() -> frozenset[str]:
    of_machine = {"localtime", "posixrules", "Factory"}
    found = available_timezones() - of_machine
    return frozenset(name for name in found if not name.startswith(("posix/", "right/")))


TimeZone = Annotated[str, Field(max_length=64), AfterValidator(_known_zone)]
TenantId = Annotated[str, Field(max_length=MAX_ID)]
Label = Annotated[str, Field(max_length=1000)]
