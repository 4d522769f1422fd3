"""Making the tables and views: numbered SQL files, applied forward only.

``python -m meterline_sinks.migrate`` applies what is missing and prints a line for each file.

- A file is recorded with its checksum once all of its statements have run; one that has changed since is refused.
- Every statement may run twice (IF NOT EXISTS, OR REPLACE), so a run that was cut off goes on from where
  it was, and two runs at once do no harm.
- ``analyst.sql`` is not numbered and runs each time, because the password is a setting. It is left out where no
  password is set, and on a server that has nowhere to keep users, such as the embedded one, whose front knows the
  analyst itself.
- The views of single tenants' analysts are made anew each time, so that they show what this version has.
"""

from __future__ import annotations

import hashlib
import logging
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from string import Template
from typing import Final

import msgspec

from meterline_schemas.errors import MeterlineError, UnavailableError
from meterline_schemas.settings import ClickHouseSettings, load
from meterline_sinks.clickhouse import ACCESS_DENIED, ClickHouse, CommandError, RefusedError
from meterline_sinks.errors import AnalystAccessError, ChangedMigrationError, NewerDatabaseError
from meterline_sinks.settings import ClusterSettings
from meterline_sinks.tenant_analysts import TenantAnalysts

log = logging.getLogger(__name__)

_HOURS: Final = 24 * 3600  # seconds that one statement may take: some fill a table from another
_NAME = re.compile(r"([0-9]{4})_[a-z0-9_]+\.sql")


@dataclass(frozen=True)
class Migration:
    """One numbered file."""

    number: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        """Of the text before placeholders are filled in, so that it is the same on every server."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def shipped() -> list[Migration]:
    """The migrations of this version, by number."""
    found = []
    for file in files("meterline_sinks").joinpath("sql").iterdir():
        match = _NAME.fullmatch(file.name)
        if match:
            found.append(Migration(int(match[1]), file.name, file.read_text(encoding="utf-8")))
    return sorted(found, key=lambda migration: migration.number)


def pending(known: list[Migration], applied: Mapping[int, tuple[str, str]]) -> list[Migration]:
    """What is left to apply; ``applied`` maps numbers to names and checksums.

    Raises:
        ChangedMigrationError: an applied file has another checksum now.
        NewerDatabaseError: files are applied that are not known.
    """
    numbers = {migration.number for migration in known}
    newer = [name for number, (name, _checksum) in sorted(applied.items()) if number not in numbers]
    if newer:
        raise NewerDatabaseError(newer)
    for migration in known:
        if migration.number in applied and applied[migration.number][1] != migration.checksum:
            raise ChangedMigrationError(migration.name)
    return [migration for migration in known if migration.number not in applied]


def statements(text: str, values: Mapping[str, str]) -> list[str]:
    """The statements of a file, which end in a semicolon at the end of a line, with ``${…}`` filled in."""
    return [part for part in (piece.strip() for piece in Template(text).substitute(values).split(";\n")) if part]


def placeholders(settings: ClickHouseSettings, cluster: str) -> dict[str, str]:
    """What the files may name. With a cluster every table is replicated and every statement runs on all of it."""
    digest = hashlib.sha256(settings.analyst_password.get_secret_value().encode()).hexdigest()
    return {
        "database": settings.database,
        "on_cluster": f"ON CLUSTER '{cluster}'" if cluster else "",
        "replicated": "Replicated" if cluster else "",
        "sync_events": f"SYSTEM SYNC REPLICA ON CLUSTER '{cluster}' {settings.database}.usage_events_raw"
        if cluster
        else "",
        "analyst_user": f"`{settings.analyst_user}`",
        "analyst_profile": f"`{settings.database}_analyst`",
        "analyst_password_sha256": digest,
    }


def migrate(settings: ClickHouseSettings, *, cluster: str | None = None) -> list[str]:
    """Bring the database up to date; returns the names of the files that were applied now.

    ``cluster`` is METERLINE_CLICKHOUSE_CLUSTER where it is not given.

    Raises:
        ChangedMigrationError, NewerDatabaseError: see ``pending``.
        AnalystAccessError: the analyst's user cannot be made.
        UnavailableError: ClickHouse does not answer, or refuses a statement.
    """
    if cluster is None:
        cluster = load(ClusterSettings).cluster
    values = placeholders(settings, cluster)
    database = ClickHouse(settings, timeout=_HOURS)
    try:
        done = _migrate(database, settings, values)
        TenantAnalysts(database, settings, cluster, keeps_users=keeps_users(database)).refresh()
        return done
    except (CommandError, RefusedError) as error:
        raise UnavailableError(
            f"ClickHouse at {settings.url} refuses what makes the tables: {error}. "
            "Meterline needs ClickHouse 25.8 or newer."
        ) from None
    finally:
        database.close()


def _migrate(database: ClickHouse, settings: ClickHouseSettings, values: Mapping[str, str]) -> list[str]:
    known = shipped()
    for statement in statements(known[0].text, values):
        database.command(statement)
    applied = {
        int(number): (str(name), str(checksum))
        for number, name, checksum in database.rows(
            f"SELECT number, name, toString(checksum) FROM {settings.database}.schema_migrations FINAL"
        )
    }
    done = []
    for migration in pending(known, applied):
        for statement in statements(migration.text, values):
            database.command(statement)
        row = {"number": migration.number, "name": migration.name, "checksum": migration.checksum}
        database.insert(f"{settings.database}.schema_migrations", msgspec.json.encode(row))
        done.append(migration.name)
    _grant(database, settings, values)
    return done


def _grant(database: ClickHouse, settings: ClickHouseSettings, values: Mapping[str, str]) -> None:
    if not settings.analyst_password.get_secret_value():
        log.info("no analyst user: METERLINE_CLICKHOUSE_ANALYST_PASSWORD is empty")
        return
    if not keeps_users(database):
        log.info("no analyst user made: this server has nowhere to keep users")
        return
    text = files("meterline_sinks").joinpath("sql", "analyst.sql").read_text(encoding="utf-8")
    try:
        for statement in statements(text, values):
            database.command(statement)
    except CommandError as error:
        if error.code == ACCESS_DENIED:
            raise AnalystAccessError(settings.user, str(error)) from None
        raise


def keeps_users(database: ClickHouse) -> bool:
    """Whether users can be made by SQL: only where some directory of users is more than a file that is read."""
    rows = database.rows(
        "SELECT count() FROM system.user_directories WHERE type IN ('local_directory', 'replicated', 'memory')"
    )
    return int(rows[0][0]) > 0


def main() -> int:
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        settings = load(ClickHouseSettings)
        done = migrate(settings)
    except MeterlineError as error:
        log.critical("%s", error)
        return 1
    for name in done:
        print(f"applied {name}")
    if not done:
        print(f"nothing to do: {settings.database} is up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
