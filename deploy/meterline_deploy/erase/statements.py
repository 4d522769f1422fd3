"""What is asked of ClickHouse, and what rows become. Pure.

A value becomes ``erased_`` and 128 bits of its SHA-256 with a salt, which is thrown away: equal values of one erase
stay equal, so that unique counts and gauges keep their numbers, and nobody can tell which value it was. The salt is
read from a table that is dropped: written into a statement, ClickHouse would keep it with its mutations.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from meterline_deploy.reconcile.warehouse import by_partition, text

PREFIX: Final = "erased_"
REMOVED: Final = "removed: the tenant was erased"
_SUBJECT: Final = '"subject":"(?:[^"\\\\]|\\\\.)*"'
_NOW: Final = "SETTINGS mutations_sync = 2, allow_nondeterministic_mutations = 1"


def raw_rows(tenant: str, until: Mapping[int, int]) -> str:
    """A condition: rows of the tenant that were judged before ``until``, by partition of ``usage.events``."""
    return f"tenant_id = {text(tenant)} AND kafka_offset < {by_partition(until, 0)}"


def events(database: str, salt: str, where: str) -> str:
    """Subjects and values of properties; names of properties, ids and sources stay."""
    properties = f"mapApply((name, value) -> (name, {_token(database, salt, 'value')}), properties)"
    return (
        f"ALTER TABLE {database}.usage_events_raw UPDATE subject = {_token(database, salt, 'subject')}, "
        f"properties = CAST({properties}, 'Map(LowCardinality(String), String)') WHERE {where} {_NOW}"
    )


def rejects(database: str, where: str) -> str:
    """The lines themselves, and what was said of them; their length and SHA-256 stay."""
    return (
        f"ALTER TABLE {database}.rejected_events UPDATE raw = '', raw_encoding = 'utf-8', detail = {text(REMOVED)} "
        f"WHERE {where} {_NOW}"
    )


def notifications(database: str, salt: str, tenant: str) -> str:
    """The subject, in its column and in the data."""
    token = _token(database, salt, "subject")
    data = f"replaceRegexpAll(data, {text(_SUBJECT)}, concat('\"subject\":\"', {token}, '\"'))"
    return (
        f"ALTER TABLE {database}.notifications UPDATE subject = {token}, data = {data} "
        f"WHERE tenant_id = {text(tenant)} AND subject != '' {_NOW}"
    )


def _token(database: str, salt: str, value: str) -> str:
    """Of an empty value, which says nothing, nothing."""
    hashed = f"hex(SHA256(concat((SELECT salt FROM {database}.{salt}), {value})))"
    return f"if({value} = '', '', concat('{PREFIX}', lower(left({hashed}, 32))))"
