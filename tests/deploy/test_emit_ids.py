"""The ids that ``meterline emit`` gives the rows of a table: the same file has the same ones."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from tests.deploy.emitting import OPTIONS, TABLE, dry, ids_of, written


def test_the_same_rows_have_the_same_ids_under_another_name_quoting_and_delimiter(tmp_path: Path) -> None:
    ids = ids_of(written(tmp_path, TABLE))
    assert ids == ids_of(written(tmp_path, TABLE, "copy of usage.csv"))
    assert ids == ids_of(written(tmp_path, "\ufeff" + TABLE.replace("acme", '"acme"').replace("\n", "\r\n")))
    assert ids == ids_of(written(tmp_path, TABLE.replace(",", "|")), "--delimiter", "|")
    assert len(set(ids)) == 2


def test_rows_that_were_appended_or_corrected_in_place_leave_the_others_their_ids(tmp_path: Path) -> None:
    ids = ids_of(written(tmp_path, TABLE))
    assert ids_of(written(tmp_path, TABLE + "acme,3,2026-11-01T10:00:00Z,eu\n"))[:2] == ids
    corrected = ids_of(written(tmp_path, TABLE.replace("1.50", "1.51")))
    assert corrected[0] != ids[0]
    assert corrected[1] == ids[1]


def test_equal_rows_of_one_file_are_two_events_and_a_batch_tells_files_apart(tmp_path: Path) -> None:
    row = "acme,1,2026-11-01,\n"
    file = written(tmp_path, "customer,units,when,region\n" + row + row)
    ids = ids_of(file, "--timezone", "UTC")
    assert len(set(ids)) == 2
    assert set(ids).isdisjoint(ids_of(file, "--timezone", "UTC", "--batch", "us"))


def test_a_file_of_rejects_is_corrected_and_emitted_with_the_ids_of_the_file_itself(tmp_path: Path) -> None:
    text = TABLE + "acme,oops,2026-11-01T10:00:00Z,eu\n"
    rejects = tmp_path / "rejects.csv"
    said = dry(written(tmp_path, text), *OPTIONS, "--rejects", str(rejects))
    assert said.returncode == 1
    (row,) = csv.DictReader(io.StringIO(rejects.read_text()))
    assert row.pop("rejected_reason") == 'quantity is not a decimal number; write it like 1.5 or "1.5"'
    assert row == {
        "rejected_row": "3",
        "customer": "acme",
        "units": "oops",
        "when": "2026-11-01T10:00:00Z",
        "region": "eu",
    }
    rejects.write_text(rejects.read_text().replace("oops", "4"))
    assert ids_of(str(rejects)) == ids_of(written(tmp_path, text.replace("oops", "4")))[2:]
