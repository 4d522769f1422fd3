"""``meterline doctor``: everything that can be wrong from outside, each finding with what to do about it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, Literal

from meterline_deploy import topics
from meterline_deploy.catalog import read_catalog
from meterline_deploy.catalog_text import short_key
from meterline_deploy.cluster import Cluster
from meterline_deploy.lag import GROUPS, Group, GroupLag, look
from meterline_deploy.part import probe
from meterline_schemas.catalog import Book, Quota, Threshold
from meterline_schemas.errors import MeterlineError
from meterline_schemas.settings import ClickHouseSettings, KafkaSettings
from meterline_schemas.topics import CONFIG, EVENTS, TOPICS

Level = Literal["ok", "note", "wrong"]

CLOCK_KEY: Final = b"doctor/clock"  # on meterline.config, as a tombstone, which compaction removes
SKEW: Final = timedelta(seconds=5)
MOVE_SECONDS: Final = 10.0  # a group that lags must move within
ANSWER_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Finding:
    """``note`` is worth knowing and not wrong; what is wrong has a fix."""

    subject: str
    level: Level
    found: str
    fix: str = ""


def examine(
    kafka: KafkaSettings, clickhouse: ClickHouseSettings, api_url: str, health: Mapping[str, str]
) -> Iterator[Finding]:
    """Everything, in the order in which one part needs the other. ``health`` maps parts to their ``/health``."""
    yield from examine_kafka(kafka)
    yield from examine_clickhouse(clickhouse)
    for part, url in {**health, "api": api_url.rstrip("/") + "/health"}.items():
        yield examine_part(part, url)


# Kafka


def examine_kafka(kafka: KafkaSettings) -> Iterator[Finding]:
    cluster = Cluster(kafka, timeout=ANSWER_SECONDS)
    try:
        brokers = cluster.brokers()
    except MeterlineError as error:
        yield Finding("kafka", "wrong", str(error), "start it (`meterline up`), or correct METERLINE_KAFKA")
        return
    yield Finding("kafka", "ok", f"{kafka.kafka} answers, {len(brokers)} broker{'s' if len(brokers) > 1 else ''}")
    missing = [name for name in map(kafka.topic, (topic.name for topic in TOPICS)) if name not in cluster.topics()]
    if missing:
        yield Finding("topics", "wrong", f"missing: {', '.join(missing)}", "run `meterline setup`")
    for check in (_settings, _partitions, _catalog, _kafka_clock, _groups):
        if missing and check is not _settings:
            return  # what follows needs all of them
        try:
            yield from check(kafka, cluster)
        except MeterlineError as error:
            yield Finding("kafka", "wrong", str(error), "look at the broker's log")


def _settings(kafka: KafkaSettings, cluster: Cluster) -> Iterator[Finding]:
    found = topics.differences(kafka, cluster)
    for each in found:
        yield Finding("topics", "wrong", str(each), "run `meterline setup --correct`")
    if not found:
        yield Finding("topics", "ok", "settings are as they must be")


def _partitions(kafka: KafkaSettings, cluster: Cluster) -> Iterator[Finding]:
    expected = topics.written_down(kafka)
    if expected is None:
        yield Finding("partitions", "wrong", "no partition count is written down", "run `meterline setup`")
        return
    existing = cluster.topics()
    wrong = {
        name: existing[name].partitions
        for topic in TOPICS
        if existing[name := kafka.topic(topic.name)].partitions != topics.count(topic, expected)
    }
    for name, found in wrong.items():
        yield Finding(
            "partitions",
            "wrong",
            f"topic {name} has {found}, {expected} are written down: repeats could count twice",
            f"recreate {name} with {expected} partitions, or start a new installation under another topic prefix",
        )
    if not wrong:
        yield Finding("partitions", "ok", f"{expected}, as written down")


def _catalog(kafka: KafkaSettings, _cluster: Cluster) -> Iterator[Finding]:
    book = read_catalog(kafka)
    count = len(book.metrics)
    if count:
        yield Finding("metrics", "ok", f"{count} defined")
    else:
        yield Finding(
            "metrics", "note", "none is defined: every event is rejected", "run `meterline metrics apply FILE.yaml`"
        )
    yield from without_effect(book)


def without_effect(book: Book) -> Iterator[Finding]:
    """Quotas and thresholds that are of no use as they are. Pure."""
    quotas = list(book.all(Quota))
    limits: list[Quota | Threshold] = [*quotas, *book.all(Threshold)]
    for limit in limits:
        metric = book.metrics.get(limit.metric)
        subject = f"{limit.kind} {short_key(limit)}"
        remove = f"run `meterline catalog delete {limit.kind} {short_key(limit)}`"
        if metric is None or metric.retired:
            yield Finding(subject, "note", f"metric {limit.metric} is retired", f"{remove}, or define the metric again")
        if not isinstance(limit, Threshold) or limit.amount is not None:
            continue
        # a threshold for all may be of the quotas that tenants have of their own
        found = book.quota(*limit.scope) or (not limit.tenant_id and any(one.metric == limit.metric for one in quotas))
        if not found:
            yield Finding(
                subject,
                "note",
                "in percent of a quota that nobody has: it never fires",
                f"give it an amount, or {remove}",
            )


def _kafka_clock(kafka: KafkaSettings, cluster: Cluster) -> Iterator[Finding]:
    before = datetime.now(UTC)
    appended = cluster.write(kafka.topic(CONFIG), [(CLOCK_KEY, None)])
    if appended is not None:  # otherwise the topic's setting is wrong, which is said already
        yield clock("Kafka", before, appended, datetime.now(UTC))


def _groups(kafka: KafkaSettings, cluster: Cluster) -> Iterator[Finding]:
    partitions = cluster.topics()[kafka.topic(EVENTS)].partitions
    for group in GROUPS:
        yield examine_group(group, partial(look, kafka, cluster, group, partitions))


def examine_group(group: Group, look: Callable[[], GroupLag], wait: Callable[[float], None] = time.sleep) -> Finding:
    """A group is well where it has a member and either nothing to do or offsets that move."""
    first = look()
    if not first.members:
        return Finding(
            group.label,
            "wrong",
            f"no {group.process} runs; {first.total} records wait",
            f"start `python -m {group.process}` (`meterline up` does)",
        )
    deadline = time.monotonic() + MOVE_SECONDS
    now = first
    while (stuck := first.still(now)) and time.monotonic() < deadline:
        wait(0.5)
        now = look()
    workers = f"{now.members} worker{'s' if now.members > 1 else ''}"
    if stuck:
        named = ", ".join(
            f"{topic}[{partition}] at {first.committed.get((topic, partition), 0)}" for topic, partition in stuck[:5]
        )
        return Finding(
            group.label,
            "wrong",
            f"{workers}, but offsets do not move although records wait: {named}",
            f"look at the log of {group.process}, then end it: it is started again and goes on where it was",
        )
    return Finding(group.label, "ok", f"{workers}, {now.total} records wait" + (", moving" if now.total else ""))


# ClickHouse


def examine_clickhouse(settings: ClickHouseSettings) -> Iterator[Finding]:
    from meterline_sinks.clickhouse import ClickHouse, CommandError

    database = ClickHouse(settings, timeout=ANSWER_SECONDS)
    before = datetime.now(UTC)
    try:
        ((version, milliseconds),) = database.rows("SELECT version(), toUnixTimestamp64Milli(now64(3))")
        after = datetime.now(UTC)
        yield Finding("clickhouse", "ok", f"{settings.url} answers, version {version}")
        yield clock("ClickHouse", before, datetime.fromtimestamp(int(milliseconds) / 1000, UTC), after)
        yield tables(settings, database.rows)
    except (MeterlineError, CommandError) as error:
        yield Finding(
            "clickhouse",
            "wrong",
            str(error),
            "start it (`meterline up`), or correct METERLINE_CLICKHOUSE_URL, _USER and _PASSWORD",
        )
    finally:
        database.close()


def tables(settings: ClickHouseSettings, rows: Callable[[str], object]) -> Finding:
    """Whether every migration of this version is applied, and none of a newer one."""
    from meterline_sinks.clickhouse import CommandError
    from meterline_sinks.errors import ChangedMigrationError, NewerDatabaseError
    from meterline_sinks.migrate import pending, shipped

    query = f"SELECT number, name, toString(checksum) FROM {settings.database}.schema_migrations FINAL"
    try:
        found = rows(query)
    except CommandError as error:
        why = "the tables were never made" if error.code in (60, 81) else str(error)  # UNKNOWN_TABLE, UNKNOWN_DATABASE
        return Finding("tables", "wrong", why, "run `meterline setup`")
    applied = {int(number): (str(name), str(checksum)) for number, name, checksum in found}  # type: ignore[attr-defined]
    try:
        left = pending(shipped(), applied)
    except (ChangedMigrationError, NewerDatabaseError) as error:
        return Finding("tables", "wrong", str(error), "install the version of Meterline that made them")
    if left:
        return Finding(
            "tables", "wrong", f"not applied: {', '.join(each.name for each in left)}", "run `meterline setup`"
        )
    return Finding("tables", "ok", f"{settings.database} is up to date")


# parts and clocks


def examine_part(part: str, url: str) -> Finding:
    found = probe(url)
    if found.problem:
        return Finding(part, "wrong", f"{url}: {found.problem}", f"look at the log of {part} (DATA/logs/{part}.log)")
    return Finding(part, "ok", f"{url.removesuffix('/health')} is ready and makes progress")


def clock(of: str, before: datetime, theirs: datetime, after: datetime) -> Finding:
    """Whether a server's clock, read between two readings of ours, agrees with it."""
    skew = max(before - theirs, theirs - after, timedelta())
    way = "behind" if theirs < before else "ahead"
    subject = f"clock of {of}"
    if skew <= SKEW:
        return Finding(subject, "ok", f"within {max(skew, after - before).total_seconds():.2f} s of this machine's")
    return Finding(
        subject,
        "wrong",
        f"{skew.total_seconds():.0f} s {way} of this machine's: events look too old or in the future",
        "let both machines set their clocks by NTP",
    )
