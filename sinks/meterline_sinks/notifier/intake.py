"""From the topic into the ledger: the thread that reads notifications and says what is to be done."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from threading import Event, Thread
from typing import Final

from meterline_schemas.delivery import Resend
from meterline_schemas.errors import UnavailableError
from meterline_sinks.failpoint import Failpoint
from meterline_sinks.notifier import audience, metrics
from meterline_sinks.notifier.catalog import Catalog
from meterline_sinks.notifier.index import Index, Open
from meterline_sinks.notifier.kafka import Record, Source
from meterline_sinks.notifier.ledger import LedgerReader, LedgerWriter, Write, entry_of

log = logging.getLogger(__name__)

_READ_LIMIT: Final = 500
_READ_SECONDS: Final = 0.1
_CATALOG_SECONDS: Final = 2.0  # a retry goes where the webhook leads now
_AGAIN_SECONDS: Final = 1.0
_FLUSH_SECONDS: Final = 10.0
_SWEEP_SECONDS: Final = 3600.0  # Kafka forgets deliveries after weeks


class Intake(Thread):
    """What it does, in order:

    1. when partitions are dealt: stop all deliveries, read the ledger of these partitions to its end, go on with what
       is open there
    2. carry out the requests to resend that the ledger has got
    3. read notifications; read the catalog to its end; decide who is to be told
    4. write one ``pending`` delivery for each into the ledger, and wait until it is acknowledged
    5. begin these deliveries
    6. commit the offsets of the notifications

    A crash before 4 reads the notifications again; one behind it finds them in the ledger, where their ids are known.
    ``begin`` and ``drop`` hand deliveries to whoever carries them out; ``failed`` is called once if this thread ends
    for an error. ``operators`` are mailboxes that are told of what needs whoever runs the installation.
    """

    def __init__(
        self,
        source: Source,
        reader: LedgerReader,
        writer: LedgerWriter,
        catalog: Catalog,
        begin: Callable[[Sequence[Open]], None],
        drop: Callable[[], None],
        failed: Callable[[BaseException], None],
        failpoint: Failpoint,
        operators: Sequence[str] = (),
    ) -> None:
        super().__init__(name="intake", daemon=True)
        self._source = source
        self._reader = reader
        self._writer = writer
        self._catalog = catalog
        self._begin = begin
        self._drop = drop
        self._failed = failed
        self._failpoint = failpoint
        self._operators = operators
        self._stopping = Event()
        self._index = Index()
        self._catalog_due = 0.0
        self._sweep_due = time.monotonic() + _SWEEP_SECONDS
        self.ready = False  # the ledger and the catalog have been read to their ends
        self.trouble = ""

    def stop(self) -> None:
        """End after the current step."""
        self._stopping.set()

    def run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._patiently(self.step)
            self._source.close()
            self._reader.close()
        except BaseException as failure:
            self._failed(failure)

    def step(self) -> None:
        """One round.

        Raises:
            UnavailableError: Kafka does not answer; call again.
            IntegrityError: the process must end.
        """
        records = self._source.read(_READ_LIMIT, _READ_SECONDS)
        if records is None:
            self._take_over()
            return
        # records that were read are judged whatever happens: a later call would not bring them again
        while not self._stopping.is_set() and not self._patiently(lambda: self._judge(records)):
            pass
        self._patiently(self._resend)
        self._patiently(self._sweep)
        self._writer.check()

    def _patiently(self, act: Callable[[], None]) -> bool:
        """Whether ``act`` went through; where Kafka does not answer, that is told once and waited for."""
        try:
            act()
        except UnavailableError as error:
            if str(error) != self.trouble:
                log.warning("%s", error)
            self.trouble = str(error)
            self._stopping.wait(_AGAIN_SECONDS)
            return False
        self.trouble = ""
        return True

    def _take_over(self) -> None:
        self.ready = False
        self._drop()
        self._index = Index()
        while not self._writer.flush(_FLUSH_SECONDS) and not self._stopping.is_set():
            self._writer.check()  # what is not in the ledger yet would be done twice
        self._reader.follow(self._source.committed)
        while not self._reader.caught_up:
            self._patiently(self._follow)
            if self._stopping.is_set():
                return
        while not self._patiently(self._catalog.refresh):
            if self._stopping.is_set():
                return
        self._begin(list(self._index.open.values()))
        self.ready = self._source.assigned
        log.info("the ledger has %d open deliveries", len(self._index.open))

    def _follow(self) -> None:
        for record in self._reader.read(0 if self._reader.caught_up else _READ_SECONDS):
            problem = self._index.apply(*record)
            if problem is not None:
                log.warning(
                    "offset %d of the ledger's partition %d is passed over: %s",
                    record.offset, record.partition, problem,
                )  # fmt: skip

    def _judge(self, records: Sequence[Record]) -> None:
        self._follow()
        if records or time.monotonic() >= self._catalog_due:
            self._catalog.refresh()
            self._catalog_due = time.monotonic() + _CATALOG_SECONDS
        if records:
            self._failpoint.reach("before_ledger")
        pending: list[Open] = []
        for record in records:
            for opened in self._wanted(record):
                self._index.note(opened)
                pending.append(opened)
        if pending:
            if not self._writer.write(map(entry_of, pending), self._stopping.is_set):
                return
            self._failpoint.reach("after_ledger")
            self._begin(pending)
        if self._source.commit() and records:
            self._failpoint.reach("after_commit")

    def _wanted(self, record: Record) -> list[Open]:
        try:
            heard = audience.read(record.value)
        except ValueError as error:
            metrics.INVALID.inc()
            log.error(
                "offset %d of partition %d is no notification, nobody is told of it: %s",
                record.offset, record.partition, error,
            )  # fmt: skip
            return []
        wanted = audience.deliveries(heard, record.value, self._catalog.book, self._catalog.removed, self._operators)
        return [Open(record.partition, delivery) for delivery in self._index.missing(wanted)]

    def _resend(self) -> None:
        if self._index.resends:
            self._catalog.refresh()  # whoever enabled a webhook may ask for it the moment after
        for key, (partition, request) in list(self._index.resends.items()):
            fresh = list(self._fresh(request))
            if not fresh:
                log.warning("asked to resend %s to %s: not known", request.notification_id, request.target or "all")
            if not self._writer.write([*map(entry_of, fresh), Write(partition, key, None)], self._stopping.is_set):
                return
            del self._index.resends[key]
            for opened in fresh:
                self._index.note(opened)
            self._begin(fresh)

    def _sweep(self) -> None:
        """Forget now and then what Kafka has forgotten."""
        if time.monotonic() >= self._sweep_due:
            self._sweep_due = time.monotonic() + _SWEEP_SECONDS
            self._index.forget(self._reader.starts(self._source.committed))

    def _fresh(self, request: Resend) -> Iterator[Open]:
        targets = (request.target,) if request.target else self._index.targets(request.notification_id)
        for target in targets:
            opened = self._index.open.get((request.notification_id, target))
            place = self._index.place(request.notification_id, target)
            if opened is None and place is not None and (found := self._reader.fetch(*place)) is not None:
                opened = Open(place[0], found)
            if opened is not None:
                yield Open(opened.partition, opened.delivery.again(target))
