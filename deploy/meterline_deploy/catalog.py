"""The catalog on the cluster: read, and written where it differs, all of a file or nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from meterline_api.billing.invoices.ledger import InvoiceLedger
from meterline_deploy.cluster import Cluster
from meterline_schemas.audit.log import AuditLog
from meterline_schemas.catalog import Book, Entry, Metric, RefusedError, changes
from meterline_schemas.catalog.plan_changes import ClosedUntil
from meterline_schemas.catalog.store import Store
from meterline_schemas.errors import ConfigurationError, MeterlineError
from meterline_schemas.settings import JudgeSettings, KafkaSettings, load
from meterline_schemas.topics import CONFIG

Kind = TypeVar("Kind", bound=Entry)


@dataclass(frozen=True)
class Change:
    """What applying an entry does: ``before`` is None for a new one and ``written`` is False where nothing differed."""

    before: Entry | None
    after: Entry

    @property
    def written(self) -> bool:
        return not self.after.same_as(self.before)


class EntriesRefusedError(MeterlineError):
    """Entries that the catalog does not take, by their position among those given; none of them was written."""

    def __init__(self, refusals: Sequence[tuple[int, RefusedError]]) -> None:
        self.refusals = refusals
        super().__init__("; ".join(str(refused) for _position, refused in refusals))


def read_catalog(kafka: KafkaSettings) -> Book:
    """The catalog as it is.

    Raises:
        ConfigurationError: the topics were never made.
        UnavailableError: Kafka does not answer.
    """
    return _store(kafka)[0].read()


def read_metrics(kafka: KafkaSettings) -> Mapping[str, Metric]:
    """Every metric that is defined, by key; a deleted one is retired. Raises as ``read_catalog`` does."""
    return read_catalog(kafka).metrics


def plan(
    book: Book,
    entries: Iterable[Entry],
    now: datetime,
    closed_until: ClosedUntil | None = None,
    denied: Set[str] = frozenset(),
) -> list[Change]:
    """What applying ``entries``, one after the other, changes in the catalog. Pure; ``book`` stays as it is.

    What of plans has begun by ``now``, or is invoiced, stays as it is. No metric counts the values of a property that
    is ``denied``.

    Raises:
        EntriesRefusedError: with every refusal.
    """
    book = book.copy()
    changed: list[Change] = []
    refusals: list[tuple[int, RefusedError]] = []
    for position, entry in enumerate(entries):
        before = book.find(type(entry), entry.identity)
        try:
            changes.check_denied(entry, denied)
            changed.append(Change(before, changes.check(book, entry, now=now, closed_until=closed_until)))
        except RefusedError as refused:
            refusals.append((position, refused))
            if before is not None:
                continue
        book.apply(entry.record_key, entry.encode())  # those after it may refer to it: what is wrong is told once
    if refusals:
        raise EntriesRefusedError(refusals)
    return changed


def apply_entries(kafka: KafkaSettings, entries: Sequence[Entry], *, dry_run: bool = False) -> list[Change]:
    """Write the entries that differ from the catalog, all at once; acknowledged on return. ``dry_run``: only say.

    Raises:
        EntriesRefusedError: one cannot be taken; nothing was written.
        ConfigurationError: the topics were never made, or a setting of ``JudgeSettings`` is wrong.
        UnavailableError: Kafka does not answer.
    """
    store, ledger = _store(kafka)
    denied = load(JudgeSettings).denied_properties
    if dry_run:
        now = datetime.now(UTC)
        return plan(store.read(), entries, now, lambda tenant_id: ledger.state().closed_until(tenant_id), denied)
    planned: list[Change] = []

    def decide(book: Book) -> list[tuple[Entry, bool]]:
        planned[:] = plan(book, entries, datetime.now(UTC), ledger.closed_until, denied)
        return [(change.after, False) for change in planned]

    with closing(ledger):
        store.change(decide)
    return planned


def apply_metrics(kafka: KafkaSettings, metrics: Iterable[Metric]) -> list[Change]:
    """As ``apply_entries``."""
    return apply_entries(kafka, list(metrics))


def delete_entry(kafka: KafkaSettings, kind: type[Kind], identity: str, *, has_usage: bool = False) -> Kind:
    """Delete an entry; acknowledged on return. ``has_usage`` is of a metric: whether any event of it was counted.

    Raises:
        RefusedError: there is none, or it is in use, or has usage; nothing was changed.
        ConfigurationError: the topics were never made.
        UnavailableError: Kafka does not answer.
    """
    deleted: list[Kind] = []
    store, ledger = _store(kafka)

    def decide(book: Book) -> list[tuple[Entry, bool]]:
        closed_until = ledger.closed_until
        deleted[:] = [changes.delete(book, kind, identity, has_usage=has_usage, closed_until=closed_until)]
        return [(entry, True) for entry in deleted]

    with closing(ledger):
        store.change(decide)
    return deleted[0]


def _store(kafka: KafkaSettings) -> tuple[Store, InvoiceLedger]:
    """The catalog, to be changed, and what says up to when tenants are invoiced: both of one turn."""
    topic = kafka.topic(CONFIG)
    if topic not in Cluster(kafka).topics():
        raise ConfigurationError(f"topic {topic} does not exist on {kafka.kafka}: run `meterline setup` first")
    log = AuditLog(kafka)
    return Store(kafka, log), InvoiceLedger(kafka, log, {})
