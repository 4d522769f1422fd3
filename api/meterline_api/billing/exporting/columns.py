"""What is in the columns of an export: their names, kinds and meanings. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from meterline_api.formats.table import Column, Kind

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Described:
    """``number``: a text that is a number, and no formula whatever sign it begins with."""

    column: Column
    about: str
    number: bool = False

    @property
    def name(self) -> str:
        return self.column.name


def text(name: str, about: str, *, nullable: bool = False) -> Described:
    return Described(Column(name, Kind.TEXT, nullable), about)


def money(name: str, about: str, *, nullable: bool = False) -> Described:
    """In units of the currency, with its decimals."""
    return Described(Column(name, Kind.DECIMAL, nullable), about, number=True)


def exact(name: str, about: str) -> Described:
    """A decimal of any length, or nothing. As text in Parquet too: it may have more decimals than a column can."""
    return Described(Column(name, Kind.TEXT, nullable=True), about, number=True)


def integer(name: str, about: str) -> Described:
    return Described(Column(name, Kind.INTEGER), about, number=True)


def instant(name: str, about: str, *, nullable: bool = False) -> Described:
    return Described(Column(name, Kind.INSTANT, nullable), about)


def document(name: str, about: str) -> Described:
    """JSON, or nothing."""
    return Described(Column(name, Kind.JSON, nullable=True), about)
