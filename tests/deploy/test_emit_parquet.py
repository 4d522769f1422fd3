"""``meterline emit`` of Parquet: exact types only, and the same events as a CSV of the same rows."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from meterline_deploy.emit.mapping import read_mapping
from meterline_deploy.emit.row import Rules
from tests.deploy.emitting import OPTIONS, TABLE, dry, lines_of, read_table, said_plainly, written
from tests.deploy.running import meterline


def parquet_of(path: Path, **columns: Any) -> str:
    parquet.write_table(pa.table(columns), path, row_group_size=3)
    return str(path)


NOON = pa.array([datetime(2026, 11, 1, 12, tzinfo=UTC)], pa.timestamp("us", "Europe/Vienna"))


def test_binary_fractions_are_no_quantities_unless_rounded(tmp_path: Path) -> None:
    file = parquet_of(tmp_path / "usage.parquet", customer=["acme"], units=[0.1 + 0.2], when=NOON)
    said = dry(file, *OPTIONS)
    assert said.returncode == 2
    assert "column units is double: a binary fraction is not exact: --round N" in said_plainly(said)
    (line,) = lines_of(dry(file, *OPTIONS, "--round", "2"))
    assert (line["quantity"], line["timestamp"]) == ("0.3", "2026-11-01T12:00:00.000Z")


@pytest.mark.parametrize(
    ("name", "column", "why"),
    [
        ("when", pa.array([0], pa.timestamp("us")), "its times have no time zone: pass --timezone"),
        ("when", pa.array([date(2026, 11, 1)]), "its times have no time zone: pass --timezone"),
        ("when", pa.array([1793527200]), "numbers are times only with --epoch"),
        ("when", pa.array([True]), "a timestamp is a time"),
        ("units", pa.array([True]), "a quantity is a number"),
        ("units", pa.array([[1]]), "only text, numbers, booleans and times can be read"),
        ("customer", pa.array([1.0]), "tenant_id is text or a whole number"),
    ],
)  # fmt: skip
def test_columns_of_a_type_that_cannot_be_meant_are_refused_before_anything_is_read(
    name: str, column: Any, why: str, tmp_path: Path
) -> None:
    columns = {"customer": pa.array(["acme"]), "units": pa.array([1]), "when": NOON, name: column}
    said = dry(parquet_of(tmp_path / "usage.parquet", **columns), *OPTIONS)
    assert said.returncode == 2
    assert why in said_plainly(said)


def test_a_file_that_is_no_parquet_is_a_sentence(tmp_path: Path) -> None:
    for text in (b"", b"PAR1 not really PAR1", TABLE.encode()):
        said = dry(written(tmp_path, text, "usage.parquet"), *OPTIONS)
        assert said.returncode == 2
        assert "as Parquet" in said.stderr
        assert "Traceback" not in said.stderr
    assert dry(str(tmp_path / "none.parquet"), *OPTIONS).returncode == 2
    assert dry("-", "--format", "parquet", *OPTIONS).returncode == 2


def test_without_pyarrow_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "pyarrow.py").write_text("raise ModuleNotFoundError('No module named pyarrow', name='pyarrow')")
    said = meterline(
        "emit", "usage.parquet", "--dry-run", *OPTIONS, more={"PYTHONPATH": str(tmp_path)}, folder=tmp_path
    )
    assert said.returncode == 2
    assert "pip install 'meterline[parquet]'" in said_plainly(said)


NAMES = st.text(st.characters(categories=("L", "N", "P", "Zs")), min_size=1, max_size=12).filter(str.isprintable)
NAIVE = datetime(1970, 1, 1)  # noqa: DTZ001 - a file's own time
ROWS = st.lists(
    st.tuples(
        NAMES,
        st.decimals(-(10**17), 10**17, allow_nan=False, allow_infinity=False, places=9),
        st.datetimes(NAIVE, NAIVE.replace(year=2100)),
        st.one_of(st.none(), NAMES),
        st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
        st.one_of(st.none(), st.booleans()),
    ),
    max_size=8,
)
HEADER = ("customer", "units", "when", "region", "seats", "trial")


def text_of(cell: object) -> str:
    """A value as a spreadsheet writes it."""
    return "" if cell is None else str(cell).lower() if isinstance(cell, bool) else str(cell)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ROWS, st.sampled_from(["s", "ms", "us", "ns"]), st.booleans())
def test_csv_and_parquet_of_the_same_rows_are_the_same_events(
    tmp_path: Path, rows: list[Sequence[Any]], unit: str, aware: bool
) -> None:
    cut = {"s": 10**6, "ms": 10**3}.get(unit, 1)
    rows = [(*row[:2], row[2] - timedelta(microseconds=row[2].microsecond % cut), *row[3:]) for row in rows]
    texts = [[text_of(cell) for cell in row] for row in rows]
    if aware:
        texts = [[*row[:2], row[2] + "+00:00", *row[3:]] for row in texts]
    with (tmp_path / "usage.csv").open("w", newline="") as file:
        csv.writer(file).writerows([HEADER, *texts])
    columns = list(zip(*rows, strict=True)) or [()] * 6
    kinds = [
        pa.string(), pa.decimal128(38, 9), pa.timestamp(unit, "UTC" if aware else None),
        pa.dictionary(pa.int32(), pa.string()), pa.int64(), pa.bool_(),
    ]  # fmt: skip
    table = pa.table({name: pa.array(column, kind) for name, column, kind in zip(HEADER, columns, kinds, strict=True)})
    parquet.write_table(table, tmp_path / "usage.parquet", row_group_size=3)
    mapping = read_mapping(OPTIONS[1:6:2], OPTIONS[7:8], ["region", "seats", "paid=trial"])
    rules = Rules(zone=None if aware else ZoneInfo("UTC"))
    of_csv = read_table(tmp_path / "usage.csv", "csv", mapping, rules)
    assert of_csv == read_table(tmp_path / "usage.parquet", "parquet", mapping, rules)
    assert len(of_csv) == len(rows)
    events = [json.loads(line) for line in of_csv]
    assert [(each["tenant_id"], Decimal(each["quantity"])) for each in events] == [tuple(row[:2]) for row in rows]
