"""Plain records: every line an event that counts unless it is a repeat. Judged at once, not line by line.

Nearly all traffic is such records, and taking their fields as columns costs a fraction of looking at each event. It
is the judge's rules again, stated for a whole record: whatever is not plainly fine is left to ``judge``, which decides
alone what is rejected. That both say the same of every record that is taken here is a property test.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from datetime import UTC, datetime
from itertools import repeat
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import astuple

from meterline_schemas.catalog import Metric
from meterline_schemas.denied import without
from meterline_schemas.event import MAX_LINE_BYTES, MAX_LINES_PER_RECORD, AcceptedEvent, Label, Name
from meterline_schemas.partitioning import partition_of
from meterline_schemas.quantity import DECIMALS, QuantityError, read
from meterline_schemas.reading import UNREADABLE, InvalidLine, is_finer, read_properties, utc_milliseconds
from meterline_streams.judge import Bounds, SourceRecord, instant

_REMEMBERED: Final = 50_000  # tenants
_WRITTEN: Final = frozenset((str, int))
_PLAIN: Final = r"(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,9})?"  # no sign, no exponent
_ALL_PLAIN: Final = re.compile(rf"{_PLAIN}(?:\n{_PLAIN})*", re.ASCII)


class _Event(Struct, gc=False):
    """A ``UsageEvent`` whose quantity is decoded: text as it stands in a string, or a number's own digits."""

    id: Name
    tenant_id: Name
    metric: Name
    timestamp: Annotated[datetime, Meta(tz=True)]
    quantity: Any
    subject: Label | None = None
    source: Label | None = None
    properties: msgspec.Raw = msgspec.Raw()


class _NotPlainError(Exception):
    """A quantity that is neither text nor a number."""


class PlainJudge:
    """Judges the plain records of one partition. Properties that are ``denied`` are not kept."""

    def __init__(self, partition: int, partitions: int, denied: Set[str] = frozenset()) -> None:
        self._partition = partition
        self._partitions = partitions
        self._denied = denied
        self._decode = msgspec.json.Decoder(_Event, float_hook=str).decode_lines
        self._tenants: set[str] = set()  # printable and at home here

    def judge(
        self, record: SourceRecord, bounds: Bounds, metrics: Mapping[str, Metric], counted: Set[str] | None = None
    ) -> tuple[list[AcceptedEvent], Sequence[int]] | None:
        """The events of a record and their quantities in nano-units, or None if the record is not plain.

        ``counted`` are the tenants whose events count; None: everybody's.
        """
        value = record.value
        lines = value.count(b"}\n{") + 1
        if len(value) > MAX_LINE_BYTES or lines > MAX_LINES_PER_RECORD or record.hopped:
            return None
        try:
            events = self._decode(value)
            # else there are blank lines, or events side by side or over several lines
            if not len(events) == lines == value.count(b"\n") + (not value.endswith(b"\n")):
                return None
            columns: Iterator[Sequence[Any]] = zip(*map(astuple, events), strict=True)
            ids, tenants, names, timestamps, quantities, subjects, sources, properties = columns
            nanos, texts = _weigh(quantities)
            if properties_given := any(properties):
                properties = [read_properties(bytes(raw)) for raw in properties]
                if self._denied:
                    properties = [without(each, self._denied) for each in properties]
            if not all(time.microsecond % 1000 for time in timestamps) and is_finer(value):
                return None  # one of them may have been rounded up
            earliest, latest = min(timestamps), max(timestamps)
            if [1 for time in timestamps if time.tzinfo is not UTC or time.microsecond % 1000]:
                timestamps = list(map(utc_milliseconds, timestamps))
        except (*UNREADABLE, InvalidLine, QuantityError, _NotPlainError):
            return None
        labels = [*filter(None, subjects), *filter(None, sources)]
        if not (
            _are_for_all(set(names), metrics)
            and bounds.oldest <= earliest
            and latest <= bounds.newest
            and "".join(ids).isprintable()
            and (counted is None or counted >= set(tenants))
            and (self._tenants.issuperset(tenants) or self._are_at_home(set(tenants)))
            and "".join(labels).isprintable()
            and (min(nanos) >= 0 or _may_be_negative(names, nanos, metrics))
        ):
            return None
        late = min(timestamps) < bounds.late_before
        accepted = map(
            AcceptedEvent,
            tenants,
            names,
            timestamps,
            ids,
            texts,
            repeat(self._partition),
            repeat(record.offset),
            range(lines),
            repeat(instant(record.first_appended)),
            [subject or "" for subject in subjects] if labels else repeat(""),
            [source or "" for source in sources] if labels else repeat(""),
            properties if properties_given else repeat(None),
            [1 if time < bounds.late_before else 0 for time in timestamps] if late else repeat(0),
        )
        return list(accepted), nanos

    def _are_at_home(self, tenants: set[str]) -> bool:
        for tenant in tenants - self._tenants:
            if not tenant.isprintable() or partition_of(tenant, self._partitions) != self._partition:
                return False
        if len(self._tenants) > _REMEMBERED:
            self._tenants.clear()
        self._tenants |= tenants
        return True


def _are_for_all(names: set[str], metrics: Mapping[str, Metric]) -> bool:
    return all((metric := metrics.get(name)) is not None and not metric.tenant_id for name in names)


def _may_be_negative(names: Sequence[str], nanos: Sequence[int], metrics: Mapping[str, Metric]) -> bool:
    return all(nano >= 0 or metrics[name].allow_negative for name, nano in zip(names, nanos, strict=True))


def _weigh(quantities: Sequence[Any]) -> tuple[Sequence[int], Sequence[str]]:
    """Nano-units and canonical texts."""
    if not _WRITTEN.issuperset(map(type, quantities)):
        raise _NotPlainError
    texts = list(map(str, quantities))
    joined = "\n".join(texts)
    if _ALL_PLAIN.fullmatch(joined) and joined.count("\n") == len(texts) - 1:
        parts = [text.partition(".") for text in texts]
        nanos = [int(whole + fraction.ljust(DECIMALS, "0")) for whole, _, fraction in parts]
        return nanos, [text if text[-1] != "0" else _without_needless_zeros(text) for text in texts]
    weights = list(map(read, texts))
    return [nano for nano, _ in weights], [text for _, text in weights]


def _without_needless_zeros(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text
