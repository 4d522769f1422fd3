"""Looking through the whole audit log: the chain in Kafka, the copy in ClickHouse, heads that were written down."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import islice
from typing import Final, Protocol

from meterline_deploy.audit.copies import Tables, compare, rows_of, wait_for
from meterline_deploy.audit.verdict import Head, Problem, Verdict
from meterline_schemas import topics
from meterline_schemas.audit.chain import Chain
from meterline_schemas.audit.entry import AuditEntry, decode
from meterline_schemas.kafka_log import KafkaLog, Record
from meterline_schemas.settings import KafkaSettings

_PAGE: Final = 5000
_NOWHERE: Final = -(1 << 63)  # before any offset


class Steps(Protocol):
    def start(self, what: str, total: int) -> None: ...

    def advance(self, step: int) -> None: ...


def verify(
    kafka: KafkaSettings, tables: Tables, heads: Sequence[Head], wait: float, verdict: Verdict, steps: Steps
) -> Verdict:
    """Look at everything; ``wait`` seconds for ClickHouse to be written.

    Raises:
        UnavailableError: Kafka or ClickHouse does not answer.
    """
    with closing(KafkaLog(kafka.client(), kafka.topic(topics.AUDIT), 0)) as log:
        low, high = log.bounds()
        log.seek(low)
        steps.start("waiting for ClickHouse to be written", 0)
        last = _last_offset(kafka, high)
        if last is not None:
            wait_for(tables, last, wait)
        steps.start("reading the audit log", high - low)
        known = _Known(heads)
        chain = Chain()
        start = low
        verdict.add(compare({}, rows_of(tables, _NOWHERE, low)))
        for page in _pages(log.read_to_end()):
            end = page[-1].offset + 1
            verdict.add(_page(page, chain, known, verdict))
            verdict.add(compare(_entries(page), rows_of(tables, start, end)))
            steps.advance(end - start)
            start = end
        verdict.add(_beyond(log, tables, start, chain, known, verdict))
    verdict.seq, verdict.hash = chain.seq, chain.hash
    verdict.add(known.problems(chain))
    return verdict


class _Known:
    """Heads that were written down, and whether the log has them."""

    def __init__(self, heads: Sequence[Head]) -> None:
        self._heads = heads
        self._found: dict[int, str] = {}

    def see(self, chain: Chain) -> None:
        if any(head.seq == chain.seq for head in self._heads):
            self._found.setdefault(chain.seq, chain.hash)

    def problems(self, chain: Chain) -> list[Problem]:
        found = []
        for head in self._heads:
            there = self._found.get(head.seq)
            if there is None:
                detail = f"it was written down and is not there: the log ends at {chain.seq}"
                found.append(Problem("head", "removed", head.seq, -1, detail))
            elif there != head.hash:
                detail = "another one was written down: something up to it was changed and the rest made to fit"
                found.append(Problem("head", "edited", head.seq, -1, detail))
        return found


def _page(page: Sequence[Record], chain: Chain, known: _Known, verdict: Verdict) -> list[Problem]:
    problems = []
    for record in page:
        verdict.entries += 1
        problems += [Problem.of(each) for each in chain.add(record.offset, record.value)]
        known.see(chain)
    return problems


def _entries(page: Sequence[Record]) -> dict[int, AuditEntry]:
    found = {}
    for record in page:
        try:
            found[record.offset] = decode(record.value or b"")
        except ValueError:  # the chain names it
            continue
    return found


def _beyond(log: KafkaLog, tables: Tables, start: int, chain: Chain, known: _Known, verdict: Verdict) -> list[Problem]:
    """Rows behind what was read: of entries that came in the meantime, or of none."""
    rows = rows_of(tables, start)
    came = list(log.read_to_end()) if rows else []
    problems = _page(came, chain, known, verdict)
    entries = {offset: entry for offset, entry in _entries(came).items() if offset in rows}
    return problems + compare(entries, rows)


def _last_offset(kafka: KafkaSettings, high: int) -> int | None:
    """The offset of the last record that is an entry: behind it may be marks of transactions."""
    window = 16
    with closing(KafkaLog(kafka.client(), kafka.topic(topics.AUDIT), 0)) as log:
        low = log.start_offset()
        while True:
            start = max(low, high - window)
            log.seek(start)
            found = [record.offset for record in log.read_to_end() if record.value]
            if found or start == low:
                return found[-1] if found else None
            window *= 4


def _pages(records: Iterator[Record]) -> Iterator[list[Record]]:
    while page := list(islice(records, _PAGE)):
        yield page
