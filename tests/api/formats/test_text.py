"""Rows as CSV, newline-delimited JSON and Parquet are read back as what they were, whatever they hold."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet as reader

from meterline_api.formats import parquet, text
from meterline_api.formats.table import Column, Kind

COLUMNS = (
    Column("text", Kind.TEXT),
    Column("count", Kind.INTEGER),
    Column("quantity", Kind.DECIMAL),
    Column("sum", Kind.WIDE, nullable=True),
    Column("at", Kind.INSTANT),
    Column("late", Kind.FLAG),
    Column("more", Kind.JSON),
)
texts = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('",\r\n=+-@\t\\\x00'))
NANO = Decimal("1e-9")


def decimals(digits: int) -> st.SearchStrategy[Decimal]:
    return st.integers(-(10**digits) + 1, 10**digits - 1).map(lambda n: Decimal(n).scaleb(-9))


rows = st.lists(
    st.fixed_dictionaries(
        {
            "text": texts,
            "count": st.integers(0, 2**63 - 1),
            "quantity": decimals(27),
            "sum": st.none() | decimals(28),
            "at": st.datetimes(datetime(1970, 1, 1), datetime(2105, 12, 31), timezones=st.just(UTC)).map(  # noqa: DTZ001
                lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000)
            ),
            "late": st.booleans(),
            "more": st.dictionaries(texts, texts, max_size=3).map(json.dumps),
        }
    ),
    max_size=4,
)


@settings(deadline=None)  # the first one imports and starts what it needs
@given(rows)
def test_csv_is_read_back_exactly(found: list[dict[str, Any]]) -> None:
    written = text.csv(COLUMNS, found)
    assert written.endswith("\r\n")
    back = list(csv.DictReader(io.StringIO(written, newline=""), strict=True))
    assert [read(row) for row in back] == found


@settings(deadline=None)  # the first one imports and starts what it needs
@given(rows)
def test_ndjson_is_read_back_exactly(found: list[dict[str, Any]]) -> None:
    lines = text.ndjson(COLUMNS, found).split(b"\n")
    assert lines.pop() == b""
    back = [json.loads(line) for line in lines]
    assert [read({**row, "more": json.dumps(row["more"])}) for row in back] == found


@settings(deadline=None)  # the first one imports and starts what it needs
@given(rows)
def test_parquet_is_read_back_exactly(found: list[dict[str, Any]]) -> None:
    table = reader.read_table(pa.BufferReader(parquet.whole(COLUMNS, found)))
    assert table.to_pylist() == found
    assert [field.type for field in table.schema] == [
        pa.string(),
        pa.int64(),
        pa.decimal128(38, 9),
        pa.decimal256(76, 9),
        pa.timestamp("ms", tz="UTC"),
        pa.bool_(),
        pa.string(),
    ]


def test_decimals_are_plain() -> None:
    column = Column("quantity", Kind.DECIMAL)
    for value, wanted in (("1E+3", "1000"), ("1.500000000", "1.5"), ("0E-9", "0"), ("-1E-9", "-0.000000001")):
        assert text.plain(column, Decimal(value)) == wanted


def read(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "text": row["text"],
        "count": int(row["count"]),
        "quantity": Decimal(row["quantity"]),
        "sum": None if row["sum"] in ("", None) else Decimal(row["sum"]),
        "at": datetime.fromisoformat(row["at"]),
        "late": row["late"] in (True, "true"),
        "more": row["more"],
    }
