"""``meterline emit`` of CSV: columns become fields, and what can never count is told by its row."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import zstandard

from meterline_schemas.event import MAX_LINE_BYTES
from tests.deploy.emitting import OPTIONS, TABLE, dry, ids_of, lines_of, said_plainly, written


def test_columns_become_the_fields_that_they_are_mapped_to(tmp_path: Path) -> None:
    said = dry(written(tmp_path, TABLE), *OPTIONS, "--property", "area=region")
    assert (said.returncode, said.stderr) == (0, "")
    first, second = lines_of(said)
    assert first.pop("id") != second.pop("id")
    assert first == {
        "tenant_id": "acme",
        "metric": "orders",
        "quantity": "1.5",
        "timestamp": "2026-11-01T10:00:00.000Z",
        "properties": {"area": "eu"},
    }
    assert second["timestamp"] == "2026-11-01T11:00:00.000Z"
    assert "properties" not in second
    assert said.stdout.splitlines()[-1] == "2 rows: 2 would be sent, 0 invalid"


def test_columns_with_the_names_of_fields_need_no_mapping(tmp_path: Path) -> None:
    text = "tenant_id,metric,quantity,timestamp,subject\nacme,orders,1,2026-11-01T10:00:00Z,user-7\n"
    (line,) = lines_of(dry(written(tmp_path, text)))
    assert (line["metric"], line["subject"]) == ("orders", "user-7")


def test_columns_that_are_missing_are_all_told_with_those_that_there_are(tmp_path: Path) -> None:
    said = dry(written(tmp_path, TABLE), "--map", "tenant_id=Customer", "--property", "plan", "--set", "metric=orders")
    assert said.returncode == 2
    text = said_plainly(said)
    assert "--map tenant_id=Customer: no such column" in text
    assert "--property plan: no such column" in text
    assert "no column gives the quantity: --map quantity=COLUMN, or --set quantity=VALUE" in text
    assert "no column gives the timestamp" in text
    assert "the time of the run is never taken" in text
    assert "The file has the columns: customer, units, when, region" in text


def test_a_delimiter_that_is_another_is_guessed_in_the_error_and_taken_as_option(tmp_path: Path) -> None:
    file = written(tmp_path, TABLE.replace(",", ";"))
    assert "is its delimiter another (--delimiter ';')?" in said_plainly(dry(file, *OPTIONS))
    assert dry(file, *OPTIONS, "--delimiter", ";").returncode == 0
    tabbed = written(tmp_path, TABLE.replace(",", "\t"), "usage.tsv")
    assert dry(tabbed, *OPTIONS).returncode == 0
    assert dry(tabbed, *OPTIONS, "--format", "csv", "--delimiter", "tab").returncode == 0


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--map", "tenant=customer"], "there is no such field; fields are tenant_id, metric"),
        (["--map", "tenant_id"], "write FIELD=COLUMN"),
        (["--map", "quantity="], "name the column of quantity"),
        (["--set", "id=1"], "every event needs an id of its own"),
        (["--set", "quantity=abc"], "--set quantity=abc: quantity is not a decimal number"),
        (["--set", "timestamp=yesterday"], "is no time like"),
        (["--set", "timestamp=2026-11-01"], "has no time zone"),
        (["--map", "metric=a", "--set", "metric=b"], "metric is both mapped and set"),
        (["--map", "metric=a", "--map", "metric=b"], "--map metric is there twice"),
        (["--property", "a", "--property", "a=b"], "--property a is there twice"),
        (["--property", "=a"], "write COLUMN, or NAME=COLUMN"),
        (["--timezone", "Mars/Olympus"], "is no time zone"),
        (["--timezone", "../etc"], "is no time zone"),
        (["--delimiter", ";;"], "--delimiter is one character"),
        (["--format", "ndjson", "--round", "0"], "--round is for CSV and Parquet"),
        (["--format", "parquet", "--delimiter", ";"], "--delimiter is for CSV"),
        (["--rejects", "usage.csv"], "is the file that is read"),
    ],
    ids=" ".join,
)
def test_options_that_cannot_be_meant_are_refused(
    options: list[str], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path, TABLE)
    said = dry("usage.csv", *options)
    assert said.returncode == 2
    assert why in said_plainly(said)
    assert (tmp_path / "usage.csv").read_text() == TABLE


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "the file is empty"),
        ("customer,units\n".encode("utf-16"), "is no text in UTF-8"),
        (b'"customer', "the first line cannot be read as CSV"),
        (b"customer,customer,units,when\n", "the file has that column twice"),
    ],
)
def test_a_file_without_a_first_line_of_columns_is_refused(text: bytes, why: str, tmp_path: Path) -> None:
    said = dry(written(tmp_path, text), *OPTIONS)
    assert said.returncode == 2
    assert why in said_plainly(said)


def test_a_column_named_id_is_neither_taken_nor_ignored_unasked(tmp_path: Path) -> None:
    file = written(tmp_path, "id,customer,units,when\n7,acme,1,2026-11-01T10:00:00Z\n")
    assert "--map id=id takes it as the events' ids" in said_plainly(dry(file, *OPTIONS))
    assert ids_of(file, "--map", "id=id") == ["7"]
    (made,) = ids_of(file, "--map", "id=")
    assert len(made) == 36


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("acme,,2026-11-01T10:00:00Z,", "quantity is not a decimal number"),
        ('acme,"1,5",2026-11-01T10:00:00Z,', "quantity is not a decimal number"),
        ("acme,NaN,2026-11-01T10:00:00Z,", "quantity is not a decimal number"),
        ("acme,1.0000000001,2026-11-01T10:00:00Z,", "more than 9 decimals"),
        ("acme,1e18,2026-11-01T10:00:00Z,", "must be below 10^18"),
        (",1,2026-11-01T10:00:00Z,", "tenant_id is empty"),
        ("a\u0007,1,2026-11-01T10:00:00Z,", "tenant_id has control or other unprintable characters"),
        ("x" * 257 + ",1,2026-11-01T10:00:00Z,", "tenant_id has 257 characters"),
        ("acme,1,,", "timestamp is empty"),
        ("acme,1,2026-11-01 10:00,", "has no time zone: pass --timezone"),
        ("acme,1,01.11.2026,", "is no time like"),
        ("acme,1,1700000000,", "--epoch s, ms, us or ns reads numbers"),
        ("acme,1,2026-02-30T10:00:00Z,", "day is out of range"),
        ("acme,1,0001-01-01T00:00:00+10:00,", "outside the years 1 to 9999"),
        ("acme,1,2026-11-01T10:00:00Z", "the row has 3 cells, the header has 4"),
    ],
)
def test_a_row_that_can_never_count_is_told_by_its_number_and_the_others_go_on(
    row: str, why: str, tmp_path: Path
) -> None:
    good = "acme,1,2026-11-01T10:00:00Z,\n"
    said = dry(written(tmp_path, f"customer,units,when,region\n{good}\n{row}\n{good}"), *OPTIONS)
    assert said.returncode == 1
    assert "row 2: " in said.stderr
    assert why in said.stderr
    assert said.stdout.splitlines()[-1] == "3 rows: 2 would be sent, 1 invalid"


def test_bytes_that_are_no_utf_8_are_told_and_go_into_the_rejects_as_they_came(tmp_path: Path) -> None:
    file = written(tmp_path, b"customer,units,when\nM\xfcller,1,2026-11-01T10:00:00Z\n")
    rejects = tmp_path / "rejects.csv"
    assert "row 1: invalid_event: tenant_id is not UTF-8" in dry(file, *OPTIONS, "--rejects", str(rejects)).stderr
    assert b"M\xfcller" in rejects.read_bytes()


@pytest.mark.parametrize(
    "tail", ['"acme,1,2026-11-01T10:00:00Z\n' + "b,1,t\n" * 9, '"a"b,1,2026\n', f'"{"x" * MAX_LINE_BYTES}y"']
)
def test_a_quote_that_is_never_closed_stops_and_swallows_no_row_unseen(tail: str, tmp_path: Path) -> None:
    said = dry(written(tmp_path, "customer,units,when\nacme,1,2026-11-01T10:00:00Z\n" + tail), *OPTIONS)
    assert said.returncode == 1
    assert "stopped after row 1: line " in said.stderr
    assert "Traceback" not in said.stderr


@pytest.mark.parametrize("name", ["usage.csv.gz", "usage.csv.zst", "usage.ndjson.gz"])
def test_packed_files_are_unpacked_and_one_that_is_cut_off_says_so(name: str, tmp_path: Path) -> None:
    event = {"id": "1", "tenant_id": "a", "metric": "m", "quantity": 1, "timestamp": "2026-11-01T10:00:00Z"}
    text = TABLE if "csv" in name else json.dumps(event) + "\n"
    options = OPTIONS if "csv" in name else ()
    packed = (gzip.compress if name.endswith("gz") else zstandard.compress)(text.encode())
    assert dry(written(tmp_path, packed, name), *options).returncode == 0
    said = dry(written(tmp_path, packed[:-7], name), *options)
    assert said.returncode != 0
    assert "cannot be" in said_plainly(said)
    assert "Traceback" not in said.stderr
    if "csv" in name:
        assert ids_of(written(tmp_path, packed, name)) == ids_of(written(tmp_path, TABLE))
