"""Rows of the records of ``billing.pushes`` and ``billing.runs``. Pure."""

from __future__ import annotations

from typing import Final

import msgspec

from meterline_schemas.billing.push import read_push
from meterline_schemas.billing.run import read_run
from meterline_schemas.reading import UNREADABLE
from meterline_sinks.rows import Row, UnreadableError, instant

PUSHES: Final = "stripe_pushes_raw"
RUNS: Final = "billing_runs_raw"

_encode: Final = msgspec.json.Encoder().encode


def push_row(offset: int, value: bytes) -> Row:
    """A table, and the row of a record in it.

    Raises:
        UnreadableError: the record is none that this version can read.
    """
    try:
        push = read_push(value)
    except UNREADABLE as error:
        raise UnreadableError(f"it is no push: {' '.join(str(error).split())}") from None
    fields = {name: getattr(push, name) for name in push.__struct_fields__}
    return PUSHES, _encode({**fields, "at": instant(push.at), "kafka_offset": offset})


def run_row(offset: int, value: bytes) -> Row:
    """As ``push_row``, of a run."""
    try:
        run = read_run(value)
    except UNREADABLE as error:
        raise UnreadableError(f"it is no run: {' '.join(str(error).split())}") from None
    fields = {name: getattr(run, name) for name in run.__struct_fields__}
    moments = {name: instant(fields[name]) for name in ("begun_at", "seen_at", "ended_at")}
    return RUNS, _encode({**fields, **moments, "due": int(run.due.timestamp()), "kafka_offset": offset})
