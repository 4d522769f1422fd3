"""The newest push of each customer, meter and day, as billing.pushes has them: a copy in SQLite, memory stays flat."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from typing import Final

import msgspec

from meterline_api.billing.stripe.errors import LedgerError
from meterline_api.billing.stripe.local import Local
from meterline_api.billing.stripe.plan import Key
from meterline_schemas.billing.push import Push, PushState, read_push
from meterline_schemas.kafka_log import Record

_VERSION: Final = 2
_PUSHES: Final = """
CREATE TABLE IF NOT EXISTS push (
    customer TEXT, meter TEXT, day TEXT, tenant_id TEXT, metric TEXT, revision INTEGER, value INTEGER, state TEXT,
    at TEXT, detail TEXT, request_id TEXT, lies INTEGER, PRIMARY KEY (customer, meter, day)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_tenant ON push (tenant_id, metric, day, customer, meter);
CREATE INDEX IF NOT EXISTS unsettled
    ON push (state, tenant_id, metric, day, customer, meter) WHERE state != 'delivered'
"""
_WANTED: Final = (
    "CREATE TEMP TABLE wanted (tenant_id TEXT, metric TEXT, day TEXT, PRIMARY KEY (tenant_id, metric, day)) "
    "WITHOUT ROWID"
)
_COLUMNS: Final = "customer, meter, day, revision, value, tenant_id, metric, state, at, detail, request_id"
_PUT: Final = f"""
INSERT INTO push ({_COLUMNS}, lies) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (customer, meter, day) DO UPDATE SET
    revision = excluded.revision, value = excluded.value, tenant_id = excluded.tenant_id, metric = excluded.metric,
    state = excluded.state, at = excluded.at, detail = excluded.detail, request_id = excluded.request_id,
    lies = excluded.lies
WHERE excluded.lies > push.lies
"""
_ORDER: Final = "ORDER BY p.tenant_id, p.metric, p.day, p.customer, p.meter"
_Row = tuple[str, str, str, int, int, str, str, str, str, str, str]


class Index:
    """``path``: a file, or empty for a temporary one. ``topic`` is the full name of the topic that it is a copy of.

    To be used by one thread at a time.
    """

    def __init__(self, path: str, topic: str) -> None:
        self._local = Local(path, topic, {"push": _PUSHES}, _VERSION)
        self._db = self._local.db
        self._db.execute(_WANTED)

    @property
    def position(self) -> int | None:
        return self._local.position

    def agrees(self, record: Record) -> bool:
        return self._local.agrees(record)

    def clear(self) -> None:
        self._local.clear()

    def take(self, records: Sequence[Record]) -> None:
        """Records in the order of the topic.

        Raises:
            LedgerError: one cannot be read; none is taken.
        """
        rows, gone = dict[bytes, tuple[object, ...]](), list[bytes]()
        for record in records:
            if record.value is None:
                rows.pop(record.key or b"", None)
                gone.append(record.key or b"")
                continue
            try:
                push = read_push(record.value)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise LedgerError(record.offset, str(error)) from None
            rows[push.key] = (*_row(push), record.offset)
        if not records:
            return
        last = records[-1]
        with self._local.taking(last):
            for key in gone:
                self._db.execute(
                    "DELETE FROM push WHERE customer || '/' || meter || '/' || day = ? AND lies < ?",
                    (key.decode(errors="replace"), last.offset),
                )
            self._db.executemany(_PUT, rows.values())

    def find(self, push: Push) -> Push | None:
        """The newest push of the same customer, meter and day."""
        return self.newest(push.customer, push.meter, push.day)

    def newest(self, customer: str, meter: str, day: date) -> Push | None:
        """The newest push of a customer, meter and day."""
        found = self._db.execute(
            f"SELECT {_COLUMNS} FROM push WHERE customer = ? AND meter = ? AND day = ?",
            (customer, meter, day.isoformat()),
        ).fetchone()
        return None if found is None else _push(found)

    def of(self, keys: Iterable[Key]) -> list[Push]:
        """The pushes of some tenants' days, in the order of tenant, metric and day."""
        self._db.execute("BEGIN")
        try:
            self._db.execute("DELETE FROM wanted")
            self._db.executemany(
                "INSERT OR IGNORE INTO wanted VALUES (?, ?, ?)",
                ((tenant, metric, day.isoformat()) for tenant, metric, day in keys),
            )
            found = self._db.execute(
                f"SELECT p.{_COLUMNS.replace(', ', ', p.')} FROM wanted CROSS JOIN push AS p "
                "USING (tenant_id, metric, day) "
                "ORDER BY wanted.tenant_id, wanted.metric, wanted.day, p.customer, p.meter"
            ).fetchall()
        finally:
            self._db.execute("COMMIT")
        return [_push(row) for row in found]

    def unsettled(self, state: PushState, after: Push | None = None, limit: int = 1000) -> list[Push]:
        """Pushes without a good outcome, in the order of tenant, metric and day, from behind ``after`` on."""
        found = self._db.execute(
            f"SELECT {_COLUMNS} FROM push AS p WHERE state = ? AND state != 'delivered' "
            f"AND (tenant_id, metric, day, customer, meter) > (?, ?, ?, ?, ?) {_ORDER} LIMIT ?",
            (state, *_place(after), limit),
        ).fetchall()
        return [_push(row) for row in found]

    def count(self, state: PushState) -> int:
        """How many pushes without a good outcome are in a state."""
        sql = "SELECT count() FROM push WHERE state = ? AND state != 'delivered'"
        return int(self._db.execute(sql, (state,)).fetchone()[0])

    def since(self, day: date) -> Iterator[Push]:
        """All of a day and later ones, in the order of tenant, metric and day."""
        last: Push | None = None
        while True:
            found = self._db.execute(
                f"SELECT {_COLUMNS} FROM push AS p WHERE day >= ? "
                f"AND (tenant_id, metric, day, customer, meter) > (?, ?, ?, ?, ?) {_ORDER} LIMIT 2000",
                (day.isoformat(), *_place(last)),
            ).fetchall()
            for row in found:
                yield (last := _push(row))
            if not found:
                return

    def close(self) -> None:
        self._local.close()


def _place(push: Push | None) -> tuple[str, ...]:
    if push is None:
        return ("",) * 5
    return push.tenant_id, push.metric, push.day.isoformat(), push.customer, push.meter


def _row(push: Push) -> _Row:
    return (
        push.customer,
        push.meter,
        push.day.isoformat(),
        push.revision,
        push.value,
        push.tenant_id,
        push.metric,
        push.state.value,
        push.at.isoformat(),
        push.detail,
        push.request_id,
    )


def _push(row: _Row) -> Push:
    customer, meter, day, revision, value, tenant_id, metric, state, at, detail, request_id = row
    return Push(
        customer=customer,
        meter=meter,
        day=date.fromisoformat(day),
        revision=revision,
        value=value,
        tenant_id=tenant_id,
        metric=metric,
        state=PushState(state),
        at=datetime.fromisoformat(at),
        detail=detail,
        request_id=request_id,
    )
