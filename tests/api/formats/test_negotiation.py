"""Which format and encoding a caller is given."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterline_api.formats.chosen import FORMATS
from meterline_api.formats.negotiation import negotiate
from meterline_api.formats.packing import encoding_of
from meterline_api.formats.table import Format


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("", Format.JSON),
        ("*/*", Format.JSON),
        ("application/*", Format.JSON),
        ("text/*", Format.CSV),
        ("TEXT/CSV; charset=utf-8", Format.CSV),
        ("text/csv, application/json", Format.CSV),
        ("application/json;q=0.9, text/csv;q=0.8", Format.JSON),
        ("application/json; q=0.1, */*; q=0.2", Format.CSV),
        ("application/json;q=0, application/*", Format.PARQUET),
        ("text/html, text/csv;q=0.1", Format.CSV),
        ("text/csv;q=0", None),
        ("text/html", None),
        ("*/*;q=0", None),
        ("*/csv", None),
        ("nonsense", None),
        (", ,", Format.JSON),
        ("application/x-ndjson;q=high", Format.NDJSON),
    ],
)
def test_the_format_of_the_greatest_weight_is_chosen(accept: str, wanted: Format | None) -> None:
    assert negotiate(accept, FORMATS) == wanted


@given(st.text())
def test_any_header_is_read(accept: str) -> None:
    assert negotiate(accept, FORMATS) in (*FORMATS, None)
    assert encoding_of(accept) in ("", "gzip", "zstd")


@pytest.mark.parametrize(
    ("accepted", "wanted"),
    [
        ("", ""),
        ("identity", ""),
        ("gzip", "gzip"),
        ("gzip, zstd", "zstd"),
        ("gzip, zstd;q=0.5", "gzip"),
        ("gzip;q=0", ""),
    ],
)
def test_bodies_are_packed_as_the_caller_can_unpack_them(accepted: str, wanted: str) -> None:
    assert encoding_of(accepted) == wanted
