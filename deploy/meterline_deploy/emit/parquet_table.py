"""Parquet as rows of text, a batch of a row group at a time. Its cells read as those of a CSV of the same rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
import pyarrow as pa
from pyarrow import parquet, types

from meterline_deploy.emit.mapping import Places
from meterline_deploy.emit.row import Rules
from meterline_deploy.emit.table import UnreadableFileError
from meterline_schemas.errors import ConfigurationError

_BATCH: Final = 4096  # rows
_START: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - the zone is the column's, or asked for
_PER_SECOND: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


class ParquetTable:
    """Columns of types that have no text, such as lists, read as empty.

    Raises:
        ConfigurationError: it is no Parquet file.
    """

    def __init__(self, path: str) -> None:
        try:
            self._file = parquet.ParquetFile(path)
        except (pa.ArrowException, OSError) as error:
            raise ConfigurationError(f"cannot read {path} as Parquet: {str(error).splitlines()[0]}") from None
        self._schema = self._file.schema_arrow
        self.columns: Sequence[str] = self._schema.names
        self.total = self._file.metadata.num_rows
        self._position = 0
        self._mapped: set[int] = set()

    def check(self, places: Places, rules: Rules) -> None:
        self._mapped = {*places.fields.values(), *(index for _name, index in places.properties)}
        if places.number is not None:
            self._mapped.add(places.number)
        wrong = [
            f"column {self.columns[index]} is {self._schema.field(index).type}: {problem}"
            for name, index in (*places.fields.items(), *(("properties", index) for _name, index in places.properties))
            if (problem := _unfit(name, self._schema.field(index).type, rules))
        ]
        if wrong:
            raise ConfigurationError("; ".join(wrong))

    def rows(self, every: bool) -> Iterator[Sequence[str]]:
        wanted = range(len(self.columns)) if every else sorted(self._mapped)
        readable = {index: _reader(self._schema.field(index).type) for index in wanted}
        readers = {index: read for index, read in readable.items() if read is not None}
        names = [self.columns[index] for index in readers]
        try:
            for batch in self._file.iter_batches(_BATCH, columns=names, use_threads=False):
                empty = [""] * batch.num_rows
                texts = [empty] * len(self.columns)
                for index, read in readers.items():
                    texts[index] = read(batch.column(self.columns[index]))
                for cells in zip(*texts, strict=True):
                    self._position += 1
                    yield cells
        except (pa.ArrowException, OSError) as error:
            why = str(error).splitlines()[0]
            raise UnreadableFileError(f"stopped after row {self._position}: the file is broken: {why}") from None

    def position(self) -> int:
        return self._position


def _unfit(field: str, kind: Any, rules: Rules) -> str | None:
    """Why a column of that type cannot be that field, or None."""
    if types.is_dictionary(kind):
        kind = kind.value_type
    text, whole = _is_text(kind), types.is_integer(kind)
    time = types.is_timestamp(kind) or types.is_date(kind)
    if _reader(kind) is None:
        return "only text, numbers, booleans and times can be read"
    match field:
        case "quantity" if types.is_floating(kind):
            if rules.decimals is None:
                return (
                    "a binary fraction is not exact: --round N rounds each to N decimals, half to even, "
                    "or write the column as decimal"
                )
        case "quantity" if not (text or whole or types.is_decimal(kind)):
            return "a quantity is a number"
        case "timestamp" if time and rules.epoch is not None:
            return "it has times already, and --epoch reads numbers"
        case "timestamp" if time and getattr(kind, "tz", None) is None and rules.zone is None:
            return "its times have no time zone: pass --timezone, such as UTC or Europe/Vienna"
        case "timestamp" if whole and rules.epoch is None:
            return "numbers are times only with --epoch s, ms, us or ns"
        case "timestamp" if not (time or text or whole):
            return "a timestamp is a time"
        case "tenant_id" | "metric" | "id" | "subject" | "source" if not (text or whole):
            return f"{field} is text or a whole number"
    return None


def _reader(kind: Any) -> Callable[[Any], list[str]] | None:
    """What writes a column of that type as text, or None where nothing does."""
    if types.is_dictionary(kind):
        read = _reader(kind.value_type)
        return None if read is None else lambda column: read(column.dictionary_decode())
    if _is_text(kind) or types.is_integer(kind) or types.is_null(kind):
        return lambda column: ["" if value is None else str(value) for value in column.to_pylist()]
    if types.is_decimal(kind):
        return lambda column: ["" if value is None else format(value, "f") for value in column.to_pylist()]
    if types.is_boolean(kind):
        return lambda column: ["" if value is None else str(value).lower() for value in column.to_pylist()]
    if types.is_floating(kind):
        # the shortest text that is this value in its width, as a CSV would have it
        width = {16: np.float16, 32: np.float32}.get(kind.bit_width, np.float64)
        return lambda column: ["" if value is None else str(width(value)) for value in column.to_pylist()]
    if types.is_timestamp(kind):
        per_second, offset = _PER_SECOND[kind.unit], "" if kind.tz is None else "Z"
        return lambda column: [_time(value, per_second, offset) for value in column.cast(pa.int64()).to_pylist()]
    if types.is_date(kind):
        days = types.is_date32(kind)
        integers, scale = (pa.int32(), 86_400) if days else (pa.int64(), 1)
        per_second = 1 if days else 1000
        return lambda column: [
            _time(None if value is None else value * scale, per_second, "")[:10]
            for value in column.cast(integers).to_pylist()
        ]
    return None


def _is_text(kind: Any) -> bool:
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _time(value: int | None, per_second: int, offset: str) -> str:
    """ISO 8601, cut to microseconds; what no calendar holds stays a number, which is then no time."""
    if value is None:
        return ""
    try:
        return (_START + timedelta(microseconds=value * 10**6 // per_second)).isoformat() + offset
    except OverflowError:
        return str(value)
