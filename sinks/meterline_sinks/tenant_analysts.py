"""Analysts of one tenant: users of ClickHouse that read that tenant's views and nothing else.

Where the server keeps users by SQL they are its users, with a grant on the tenant's database and a profile. The
embedded server keeps none: there they are rows of its front's table, and its roles are the grants.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Final, NamedTuple

import msgspec

from meterline_schemas.errors import ConfigurationError
from meterline_schemas.settings import ClickHouseSettings
from meterline_sinks.clickhouse import ACCESS_DENIED, ClickHouse, CommandError
from meterline_sinks.errors import AnalystAccessError
from meterline_sinks.tenant_views import make_views, quote

PREFIX: Final = "meterline_analyst_"
PLACES: Final = 64  # of the embedded server, whose roles are fixed
_FRONT: Final = "meterline_front"
_EXISTS: Final = 82  # DATABASE_ALREADY_EXISTS
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}")
_PROFILE: Final = (
    # 1, not 2: with a setting such as additional_table_filters a reader could look below the views
    "readonly = 1, final = 1, max_execution_time = 30, max_memory_usage = 1000000000, max_rows_to_read = 1000000000, "
    "max_result_rows = 5000000, max_threads = 2, max_concurrent_queries_for_user = 8"
)


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Whose views a database holds: its comment."""

    meterline: str
    tenant_id: str


class Analyst(NamedTuple):
    name: str
    tenant_id: str
    database: str


class TenantAnalysts:
    """``keeps_users``: see ``meterline_sinks.migrate.keeps_users``."""

    def __init__(self, database: ClickHouse, settings: ClickHouseSettings, cluster: str, *, keeps_users: bool) -> None:
        self._database = database
        self._settings = settings
        self._cluster = f"ON CLUSTER '{cluster}'" if cluster else ""
        self._keeps_users = keeps_users
        self._profile = f"`{settings.database}_tenant_analyst`"

    def add(self, tenant_id: str, name: str = "") -> tuple[Analyst, str]:
        """Let somebody read one tenant's usage; gives the analyst and a password that is kept nowhere else.

        Raises:
            ConfigurationError: the name is taken or none, or the server has no room, or shows its tables to all.
            AnalystAccessError: this user may not make others.
        """
        name = name or _name_for(tenant_id)
        if not tenant_id or "\0" in tenant_id:
            raise ConfigurationError("name the tenant whose usage the analyst may read")
        if not _NAME.fullmatch(name):
            raise ConfigurationError(f"{name!r} is no name for a user: take letters, digits, _ . @ and -, 64 at most")
        if name in self._names() or name in ("default", self._settings.user, self._settings.analyst_user):
            raise ConfigurationError(f"there is a user {name!r} already: remove it first, or take another --name")
        source = self._settings.database
        if not self._database.rows(
            f"SELECT 1 FROM system.tables WHERE database = {quote(source)} AND name = 'metrics'"
        ):
            raise ConfigurationError(f"the tables of {source} are not made yet: `meterline setup` makes them")
        target = self._place(tenant_id)
        make_views(self._database, self._settings.database, target, self._cluster, tenant_id)
        password = secrets.token_urlsafe(24)
        digest = hashlib.sha256(password.encode()).hexdigest()
        if self._keeps_users:
            self._create(name, digest, target)
        else:
            row = {"name": name, "password_sha256": digest, "database": target, "removed": 0}
            self._database.insert(f"{_FRONT}.users", msgspec.json.encode(row))
        analyst = Analyst(name, tenant_id, target)
        self._look_shut(analyst, password)
        return analyst, password

    def all(self) -> list[Analyst]:
        """Every analyst of a tenant of this database, by tenant and name."""
        tenants = {database: place.tenant_id for database, place in self._places().items()}
        known = [Analyst(name, tenants[target], target) for name, target in self._users() if target in tenants]
        return sorted(known, key=lambda analyst: (analyst.tenant_id, analyst.name))

    def remove(self, name: str) -> Analyst:
        """Shut an analyst out, from the next statement on; the views go with the last analyst of the tenant.

        Raises:
            ConfigurationError: there is none of that name.
        """
        known = self.all()
        found = next((analyst for analyst in known if analyst.name == name), None)
        if found is None:
            raise ConfigurationError(f"there is no tenant's analyst {name!r}: `meterline analyst list` shows all")
        self._drop(found)
        if sum(analyst.database == found.database for analyst in known) == 1:
            self._database.command(f"DROP DATABASE IF EXISTS {found.database} {self._cluster} SYNC")
        return found

    def refresh(self) -> None:
        """Make all views anew, as this version has them."""
        for target, place in self._places().items():
            make_views(self._database, self._settings.database, target, self._cluster, place.tenant_id)

    def _places(self) -> dict[str, Place]:
        return {target: place for target, place in self._taken().items() if place.meterline == self._settings.database}

    def _taken(self) -> dict[str, Place]:
        found = {}
        for name, comment in self._database.rows(
            f"SELECT name, comment FROM system.databases WHERE startsWith(name, {quote(PREFIX)})"
        ):
            try:
                found[str(name)] = msgspec.json.decode(str(comment), type=Place)
            except msgspec.DecodeError:
                found[str(name)] = Place(meterline="", tenant_id="")  # somebody else's: left alone
        return found

    def _place(self, tenant_id: str) -> str:
        """The tenant's database, made if need be."""
        for target, place in self._places().items():
            if place.tenant_id == tenant_id:
                return target
        place = Place(meterline=self._settings.database, tenant_id=tenant_id)
        comment = quote(msgspec.json.encode(place).decode())
        taken = self._taken()
        number = 1
        while self._keeps_users or number <= PLACES:
            target = f"{PREFIX}{number}"
            if target not in taken:
                try:
                    self._database.command(f"CREATE DATABASE {target} {self._cluster} COMMENT {comment}")
                except CommandError as error:
                    if error.code != _EXISTS:  # made by another just now: the next number
                        raise
                else:
                    return target
            number += 1
        raise ConfigurationError(
            f"the embedded ClickHouse has room for the analysts of {PLACES} tenants, and all of it is taken: remove "
            "some, or run a ClickHouse server"
        )

    def _users(self) -> list[tuple[str, str]]:
        sql = (
            f"SELECT name, default_database FROM system.users WHERE startsWith(default_database, {quote(PREFIX)})"
            if self._keeps_users
            else f"SELECT name, database FROM {_FRONT}.users FINAL"
        )
        return [(str(name), str(target)) for name, target in self._database.rows(sql)]

    def _names(self) -> set[str]:
        if self._keeps_users:
            return {str(name) for (name,) in self._database.rows("SELECT name FROM system.users")}
        return {name for name, _target in self._users()}

    def _create(self, name: str, digest: str, target: str) -> None:
        profile, cluster = self._profile, self._cluster
        try:
            for statement in (
                f"CREATE SETTINGS PROFILE IF NOT EXISTS {profile} {cluster}",
                f"ALTER SETTINGS PROFILE {profile} {cluster} SETTINGS {_PROFILE}",
                f"CREATE USER `{name}` {cluster} IDENTIFIED WITH sha256_hash BY '{digest}' "
                f"DEFAULT DATABASE {target} SETTINGS PROFILE {profile}",
                f"GRANT {cluster} SELECT ON {target}.* TO `{name}`",
            ):
                self._database.command(statement)
        except CommandError as error:
            if error.code == ACCESS_DENIED:
                raise AnalystAccessError(self._settings.user, str(error)) from None
            raise

    def _drop(self, analyst: Analyst) -> None:
        if self._keeps_users:
            self._database.command(f"DROP USER IF EXISTS `{analyst.name}` {self._cluster}")
            return
        row = {"name": analyst.name, "password_sha256": "", "database": analyst.database, "removed": 1}
        self._database.insert(f"{_FRONT}.users", msgspec.json.encode(row))

    def _look_shut(self, analyst: Analyst, password: str) -> None:
        """Ask, as the new analyst, for what must stay shut; whoever can see it is removed again."""
        login = self._settings.model_dump() | {"user": analyst.name, "password": password}
        theirs = ClickHouse(ClickHouseSettings.model_validate(login))
        try:
            for table in ("system.errors", f"{self._settings.database}.usage_totals"):
                try:
                    theirs.rows(f"SELECT count() FROM {table}")
                except CommandError as error:
                    if error.code == ACCESS_DENIED:
                        continue
                    raise
                self.remove(analyst.name)
                raise ConfigurationError(
                    f"this ClickHouse lets every user read {table}, where other tenants show, so {analyst.name!r} was "
                    "not made: set access_control_improvements.select_from_system_db_requires_grant to true in its "
                    "configuration, and grant nothing to all users"
                )
        finally:
            theirs.close()


def _name_for(tenant_id: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9_.-]", "_", tenant_id)[:40]
    mark = "" if plain == tenant_id else "_" + hashlib.sha256(tenant_id.encode()).hexdigest()[:8]
    return f"analyst_{plain}{mark}"
