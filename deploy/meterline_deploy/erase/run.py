"""Erasing a tenant.

1. wait until the stream has judged, and ClickHouse has, all that Kafka had: what is written again later would bring
   the text back;
2. note how far each partition is written: what was judged before is erased, what comes later is not;
3. say so in the audit log, and wait until ClickHouse has that entry: from then on ``reconcile`` knows;
4. change the rows. Killed here, ClickHouse goes on with what was begun, for which it needs the salt: the salt stays
   until the erasure is done again, from the start, which lets that end first;
5. write into the audit log how many rows it was.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Final, Protocol

import msgspec

from meterline_deploy.cluster import Cluster
from meterline_deploy.erase import statements
from meterline_deploy.lag import GROUPS, Group, look
from meterline_deploy.reconcile.erasures import STARTED
from meterline_deploy.reconcile.warehouse import text
from meterline_schemas import topics
from meterline_schemas.audit.entry import AuditEntry, Draft
from meterline_schemas.audit.log import AuditLog, process_author
from meterline_schemas.errors import MeterlineError, UnavailableError
from meterline_schemas.settings import ClickHouseSettings, KafkaSettings
from meterline_sinks.clickhouse import ClickHouse, CommandError
from meterline_sinks.settings import ClusterSettings

ERASED: Final = "tenant.erased"
_HOURS: Final = 24 * 3600  # seconds that one statement may take
_EVERY: Final = 0.2
_SALT: Final = "erase_salt_"  # tables of salts


class Steps(Protocol):
    def start(self, what: str, total: int) -> None: ...


@dataclass(frozen=True)
class Found:
    """What there is of a tenant. ``newest`` is when the broker took its newest event, or empty."""

    events: int
    subjects: int
    rejected_lines: int
    notifications: int
    newest: str

    @property
    def anything(self) -> bool:
        return bool(self.events or self.rejected_lines or self.notifications)


class NothingError(MeterlineError):
    """There is nothing of a tenant."""

    def __init__(self, tenant: str) -> None:
        super().__init__(f"ClickHouse has no event, reject or notification of tenant {tenant!r}: is it spelled right?")


class Eraser:
    """One installation. Every method raises ``UnavailableError`` where Kafka or ClickHouse does not answer."""

    def __init__(self, kafka: KafkaSettings, clickhouse: ClickHouseSettings, steps: Steps) -> None:
        self._kafka = kafka
        self._database = clickhouse.database
        self._tables = ClickHouse(clickhouse, clickhouse.database, _HOURS)
        self._cluster = ClusterSettings().cluster
        self._steps = steps

    def settled(self, seconds: float) -> dict[int, int]:
        """By partition of ``usage.events`` the offset up to which everything is written and stays so.

        Raises:
            UnavailableError: not within ``seconds``.
        """
        self._steps.start("waiting until everything is judged and written", 0)
        cluster = Cluster(self._kafka)
        partitions = cluster.topics()[self._kafka.topic(topics.EVENTS)].partitions
        deadline = time.monotonic() + seconds
        for group in GROUPS[:2]:
            self._caught_up(cluster, group, partitions, deadline)
        written = self._written(partitions)
        self._caught_up(cluster, GROUPS[1], partitions, deadline)  # of what is noted, nothing is written again
        return written

    def found(self, tenant: str, until: Mapping[int, int]) -> Found:
        rows, whose = statements.raw_rows(tenant, until), f"tenant_id = {text(tenant)}"
        with self._answers():
            ((events, subjects, newest),) = self._tables.rows(
                "SELECT count(), uniqExactIf(subject, subject != ''), if(count() = 0, '', toString(max(received_at))) "
                f"FROM usage_events_raw FINAL WHERE {rows}"
            )
            ((rejected,),) = self._tables.rows(f"SELECT count() FROM rejected_events FINAL WHERE {rows}")
            ((told,),) = self._tables.rows(f"SELECT count() FROM notifications FINAL WHERE {whose} AND subject != ''")
        return Found(int(events), int(subjects), int(rejected), int(told), str(newest))

    def erase(self, tenant: str, until: Mapping[int, int], found: Found, wait: float) -> AuditEntry:
        """Do it; the entry of the audit log that says so."""
        log = AuditLog(self._kafka)
        draft = Draft(
            author=process_author(),
            action=STARTED,
            resource_type="tenant",
            resource_id=tenant,
            tenant_id=tenant,
            details={"until": {str(partition): offset for partition, offset in until.items()}},
        )
        try:
            (begun,) = log.append(draft)
            self._listed(begun, wait)
            self._change(tenant, until)
            counts = {name: value for name, value in asdict(found).items() if name != "newest"}
            details = {"started": begun.id, **counts}
            (done,) = log.append(msgspec.structs.replace(draft, action=ERASED, details=details))
            return done
        finally:
            log.close()

    def watch(self, steps: Steps) -> None:
        """Tell ``steps`` what is done from now on."""
        self._steps = steps

    def close(self) -> None:
        self._tables.close()

    def _caught_up(self, cluster: Cluster, group: Group, partitions: int, deadline: float) -> None:
        first = look(self._kafka, cluster, group, partitions)
        while replace(first, committed=look(self._kafka, cluster, group, partitions).committed).behind:
            if time.monotonic() >= deadline:
                raise UnavailableError(
                    f"{first.total:,} records are not yet judged or written: what comes into ClickHouse later would "
                    "bring the text back. `meterline doctor` says what stands still; then try again, or --wait longer"
                )
            time.sleep(_EVERY)

    def _written(self, partitions: int) -> dict[int, int]:
        with self._answers():
            rows = self._tables.rows(
                "SELECT kafka_partition, min(next_offset) FROM usage_progress FINAL "
                f"WHERE topic IN ({text(topics.ACCEPTED)}, {text(topics.REJECTED)}) "
                "GROUP BY kafka_partition HAVING uniqExact(topic) = 2"
            )
        return {int(partition): int(offset) for partition, offset in rows if int(partition) < partitions}

    def _listed(self, begun: AuditEntry, seconds: float) -> None:
        self._steps.start("waiting for ClickHouse to have the entry of the audit log", 0)
        deadline = time.monotonic() + max(seconds, 10)
        with self._answers():
            while not self._tables.rows(f"SELECT 1 FROM audit_log WHERE id = {text(begun.id)} LIMIT 1"):
                if time.monotonic() >= deadline:
                    raise UnavailableError(
                        "the sink does not write the audit log: nothing was erased; `meterline doctor` looks at it"
                    )
                time.sleep(_EVERY)

    def _change(self, tenant: str, until: Mapping[int, int]) -> None:
        where = statements.raw_rows(tenant, until)
        salts = f"{_SALT}{hashlib.sha256(tenant.encode()).hexdigest()[:16]}_"
        with self._answers():
            self._finish(salts)
        with self._answers(), self._salt(f"{salts}{secrets.token_hex(8)}") as salt:
            for what, statement in (
                ("erasing events", statements.events(self._database, salt, where)),
                ("erasing rejected lines", statements.rejects(self._database, where)),
                ("erasing notifications", statements.notifications(self._database, salt, tenant)),
            ):
                self._steps.start(what, 0)
                self._tables.command(statement)

    def _finish(self, salts: str) -> None:
        """Let end what an erasure that broke off began, and throw its salt away."""
        left = f"database = {text(self._database)} AND startsWith(name, {text(salts)})"
        for (name,) in self._tables.rows(f"SELECT name FROM system.tables WHERE {left}"):
            self._steps.start("waiting until ClickHouse is done with an erasure that broke off", 0)
            while (why := self._needs(str(name))) is not None:
                if why:
                    raise UnavailableError(f"ClickHouse cannot finish an erasure that broke off: {why[:300]}")
                time.sleep(_EVERY)
            self._drop(str(name))

    @contextmanager
    def _salt(self, name: str) -> Iterator[str]:
        """A table that holds a new salt as long as this lasts, or something that was begun needs it."""
        where = f"ON CLUSTER '{self._cluster}'" if self._cluster else ""
        # on disk: a change without its salt, after a restart, would fail for ever and hold up all others
        engine = f"{'Replicated' if self._cluster else ''}MergeTree ORDER BY salt"
        table = f"{self._database}.{name}"
        self._tables.command(f"CREATE TABLE {table} {where} (salt String) ENGINE = {engine}")
        try:
            self._tables.insert(name, b'{"salt":"%s"}' % secrets.token_hex(32).encode())
            if self._cluster:
                self._tables.command(f"SYSTEM SYNC REPLICA {where} {table}")
            yield name
        finally:
            if self._needs(name) is None:
                self._drop(name)

    def _needs(self, salt: str) -> str | None:
        """Why the change of rows fails that needs a salt, empty where it goes on; None: there is none."""
        rows = self._tables.rows(
            f"SELECT latest_fail_reason FROM system.mutations WHERE database = {text(self._database)} "
            f"AND NOT is_done AND position(command, {text(salt)}) LIMIT 1"
        )
        return str(rows[0][0]) if rows else None

    def _drop(self, salt: str) -> None:
        where = f"ON CLUSTER '{self._cluster}'" if self._cluster else ""
        self._tables.command(f"DROP TABLE IF EXISTS {self._database}.{salt} {where} SYNC")

    @contextmanager
    def _answers(self) -> Iterator[None]:
        try:
            yield
        except CommandError as error:
            raise UnavailableError(f"ClickHouse refuses: {error}; is this Meterline's database?") from None
