"""Tables as Parquet: the only module here that imports pyarrow, and is imported where Parquet was asked for.

Decimals are decimal128(38, 9) and decimal256(76, 9), instants timestamps of milliseconds in UTC.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from meterline_api.formats.table import Column, Kind

VERSION: Final = str(pa.__version__)  # another one may write other bytes for the same rows
_TYPES: Final = {
    Kind.TEXT: pa.string(),
    Kind.INTEGER: pa.int64(),
    Kind.DECIMAL: pa.decimal128(38, 9),
    Kind.WIDE: pa.decimal256(76, 9),
    Kind.INSTANT: pa.timestamp("ms", tz="UTC"),
    Kind.FLAG: pa.bool_(),
    Kind.JSON: pa.string(),
}


def schema_of(columns: Sequence[Column]) -> Any:
    return pa.schema([pa.field(each.name, _TYPES[each.kind], nullable=each.nullable) for each in columns])


class Writer:
    """A file that is written a row group at a time: what is ready is taken, so that nothing piles up."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._schema = schema_of(columns)
        self._out = io.BytesIO()
        self._taken = 0
        # it asks for its position, which must be that in the file
        self._writer = parquet.ParquetWriter(_Sink(self._out, self), self._schema, compression="zstd")

    @property
    def taken(self) -> int:
        return self._taken

    def write(self, table: Any) -> bytes:
        """A row group of an Arrow table; what of the file is ready."""
        chosen = pa.table([table.column(name) for name in self._schema.names], names=self._schema.names)
        self._writer.write_table(chosen.cast(self._schema), row_group_size=max(1, chosen.num_rows))
        return self._take()

    def close(self) -> bytes:
        """The rest of the file."""
        self._writer.close()
        return self._take()

    def _take(self) -> bytes:
        piece = self._out.getvalue()
        self._taken += len(piece)
        self._out.seek(0)
        self._out.truncate()
        return piece


class _Sink(io.RawIOBase):
    """Where pyarrow writes: positions are those in the whole file."""

    def __init__(self, out: io.BytesIO, writer: Writer) -> None:
        self._out = out
        self._writer = writer

    def write(self, piece: Any) -> int:
        return self._out.write(piece)

    def tell(self) -> int:
        return self._writer.taken + self._out.tell()

    def writable(self) -> bool:
        return True


def whole(columns: Sequence[Column], rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Rows as ``text`` takes them."""
    writer = Writer(columns)
    return writer.write(table(columns, list(rows))) + writer.close()


def table(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> Any:
    """An Arrow table of rows as ``text`` takes them."""
    arrays = [
        pa.array([_value(column, row.get(column.name)) for row in rows], _TYPES[column.kind]) for column in columns
    ]
    return pa.table(arrays, names=[column.name for column in columns])


def read_stream(stream: bytes) -> Any:
    """The table of an Arrow stream."""
    return pa.ipc.open_stream(stream).read_all()


def unsigned(table: Any, name: str) -> NDArray[np.uint64]:
    """A column of unsigned integers."""
    found: NDArray[np.uint64] = table.column(name).to_numpy()
    return found


def key_value(table: Any, name: str, *, instant: bool) -> str | int:
    """What the last row has in a column; an instant in milliseconds since 1970."""
    column = table.column(name)
    if instant:
        column = column.cast(pa.timestamp("ms", tz="UTC")).cast(pa.int64())
    found: str | int = column[-1].as_py()
    return found


def _value(column: Column, value: Any) -> Any:
    if isinstance(value, str) and column.kind in (Kind.DECIMAL, Kind.WIDE):
        return Decimal(value)
    if isinstance(value, str) and column.kind is Kind.INSTANT:
        return datetime.fromisoformat(value)
    return value
