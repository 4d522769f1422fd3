"""What the events of a tenant or subject in a period come to, by SQL over the raw events. Pure.

Names travel as one hexadecimal literal in the body: no name can become part of the statement, and thousands of them
do not make the address of the request longer.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec

from meterline_schemas.counter import Parts
from meterline_schemas.quantity import exact_nano, format_nano

MOST_SCOPES: Final = 5_000  # of one statement
EVERYTHING: Final = 2**63 - 1
"""As ``below``: the offsets of all events."""

SETTINGS: Final = {"max_query_size": 32 * 1024 * 1024}

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_LAST_MS: Final = 10_413_791_999_999  # 2299-12-31T23:59:59.999Z: what DateTime64(3) holds

# of several rows of one event FINAL leaves the one that stands: the bound of the offsets is for that one
_SQL: Final = """
WITH wanted AS (
    SELECT tupleElement(each, 1) AS number, tupleElement(each, 2) AS tenant, tupleElement(each, 3) AS subject_id,
           tupleElement(each, 4) AS below
    FROM (SELECT arrayJoin(JSONExtract(unhex('{scopes}'), 'Array(Tuple(UInt32, String, String, Int64))')) AS each)
), fromUnixTimestamp64Milli({start:Int64}, 'UTC') AS start
SELECT w.number, countIf(u.timestamp >= start), toString(sumIf(toDecimal256(u.quantity, 9), u.timestamp >= start)),
       toString(minIf(u.quantity, u.timestamp >= start)), toString(maxIf(u.quantity, u.timestamp >= start)),
       toString(argMax(u.quantity, (u.timestamp, u.id))),
       toUnixTimestamp64Milli(max(u.timestamp)), argMax(u.id, (u.timestamp, u.id))
FROM usage_events_raw AS u FINAL INNER JOIN wanted AS w ON u.tenant_id = w.tenant
WHERE u.tenant_id IN (SELECT tenant FROM wanted) AND u.metric = {metric:String}
    AND u.timestamp >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')
    AND u.timestamp < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
    AND u.kafka_partition = {partition:Int32} AND u.kafka_offset < w.below
    AND (w.subject_id = '' OR u.subject = w.subject_id)
GROUP BY w.number
"""


class Span(NamedTuple):
    """The events of one metric and partition with a timestamp in ``[start, end)``.

    Of a gauge the last reading before ``start`` counts as the last one where there is none behind it: it still holds.
    """

    partition: int
    metric: str
    start: datetime
    end: datetime
    is_gauge: bool = False


class Scope(NamedTuple):
    """A tenant, or a subject of it, and the offset below which its events are counted."""

    tenant_id: str
    subject: str
    below: int


def build(span: Span, scopes: Sequence[Scope]) -> tuple[str, dict[str, Any]]:
    """The statement for at most ``MOST_SCOPES`` scopes, and its parameters. Run it with ``SETTINGS``."""
    rows = [[number, *scope] for number, scope in enumerate(scopes)]
    parameters = {
        "metric": span.metric,
        "partition": span.partition,
        "start": _milliseconds(span.start),
        "from": 0 if span.is_gauge else _milliseconds(span.start),
        "end": min(_milliseconds(span.end), _LAST_MS),
    }
    return _SQL.replace("{scopes}", msgspec.json.encode(rows).hex()), parameters


def read(rows: Sequence[Sequence[Any]], count: int) -> list[Parts]:
    """What each of ``count`` scopes used, in their order; scopes without events have no row."""
    found = [Parts()] * count
    for number, events, total, least, greatest, last, at, id in rows:
        found[number] = Parts(
            count=events,
            sum=_plain(total),
            min=_plain(least),
            max=_plain(greatest),
            last=_plain(last),
            last_timestamp=_EPOCH + at * _MILLISECOND,
            last_id=id,
        )
    return found


def _plain(text: str) -> str:
    return format_nano(exact_nano(text))


def _milliseconds(instant: datetime) -> int:
    return (instant - _EPOCH) // _MILLISECOND
