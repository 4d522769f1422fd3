"""The job ``export``: files of several kinds, written so that whoever finds a manifest finds all of them, whole.

A run writes into a folder of its own, named by the instant that it was due at:

1. ``as-of.json``: up to where each kind goes, and from where on. Whoever does the run again goes by it, so that names
   and bytes are the same
2. a file for each kind: what changed since the last run that came to its end
3. ``SHA256SUMS``, and ``manifest.json`` last
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from datetime import UTC, datetime
from typing import BinaryIO, Final

import msgspec
from msgspec import Struct

from meterline_api.billing.exporting.as_of import AsOf, read_as_of
from meterline_api.billing.exporting.asked import Asked, Sources
from meterline_api.billing.exporting.kinds import kind_of
from meterline_api.billing.exporting.places import Store
from meterline_api.billing.exporting.pull import Pull, settled
from meterline_api.billing.exporting.settings import ExportSettings
from meterline_api.billing.jobs.context import Outcome, RunContext
from meterline_api.formats.table import Format
from meterline_api.formats.text import instant
from meterline_api.storage.thread import in_thread

MANIFEST: Final = "manifest.json"
SUMS: Final = "SHA256SUMS"
PINS: Final = "as-of.json"
_RUN: Final = re.compile(r"\d{8}T\d{6}Z")


class Pin(Struct, frozen=True):
    """Where a kind's file begins and ends. ``since`` is empty in the first one: it has everything."""

    kind: str
    as_of: str
    since: str


class Pins(Struct, frozen=True):
    due: str
    format: Format
    kinds: tuple[Pin, ...]


class File(Struct, frozen=True):
    """``cursor`` is what to give as ``since`` for what comes after it."""

    kind: str
    name: str
    as_of: str
    since: str
    cursor: str
    rows: int
    bytes: int
    sha256: str


class Manifest(Struct, frozen=True):
    due: str
    format: Format
    files: tuple[File, ...]


_read_pins: Final = msgspec.json.Decoder(Pins).decode
_read_manifest: Final = msgspec.json.Decoder(Manifest).decode


class ExportJob:
    def __init__(self, sources: Sources, store: Store, settings: ExportSettings) -> None:
        self._sources = sources
        self._store = store
        self._settings = settings

    async def run(self, context: RunContext) -> Outcome:
        """The job. Raises UnavailableError: it is tried again."""
        folder = f"{context.due.astimezone(UTC):%Y%m%dT%H%M%SZ}"
        manifests = await in_thread(lambda: _manifests(self._store))
        if folder in manifests:
            return _said(folder, (await in_thread(lambda: self._manifest(folder))).files, "there already")
        later = [name for name in manifests if name > folder]
        if later:
            return Outcome(
                {"folder": folder}, [f"nothing is written for {folder}: {later[0]} has what changed until then"]
            )
        pins = await self._pinned(folder, manifests[-1] if manifests else None, context)
        files = []
        for pin in pins.kinds:
            await context.heartbeat()
            with tempfile.TemporaryFile() as spool:
                files.append(await self._file(folder, pin, pins.format, spool, context))
        if context.dry_run:
            return _said(folder, files, "would be written")
        await context.heartbeat()
        manifest = Manifest(pins.due, pins.format, tuple(files))
        sums = "".join(f"{file.sha256}  {file.name}\n" for file in files)
        await in_thread(lambda: self._store.write(f"{folder}/{SUMS}", sums.encode()))
        await in_thread(lambda: self._store.write(f"{folder}/{MANIFEST}", _pretty(manifest)))
        return _said(folder, files, "written")

    async def _pinned(self, folder: str, before: str | None, context: RunContext) -> Pins:
        """Those of an earlier attempt, or of now."""
        name = f"{folder}/{PINS}"
        kept = await in_thread(lambda: self._store.read(name))
        if kept is not None:
            return _read_pins(kept)
        last = {} if before is None else await in_thread(lambda: self._cursors(before))
        now = datetime.now(UTC)
        found = []
        for name_of_kind in self._settings.kinds:
            kind = kind_of(name_of_kind)
            as_of = await settled(kind, self._sources, AsOf(context.due), now)
            found.append(Pin(kind.name, str(as_of), last.get(kind.name, "")))
        pins = Pins(instant(context.due), self._settings.format, tuple(found))
        if not context.dry_run:
            await context.heartbeat()
            await in_thread(lambda: self._store.write(name, _pretty(pins)))
        return pins

    async def _file(self, folder: str, pin: Pin, format: Format, spool: BinaryIO, context: RunContext) -> File:
        kind = kind_of(pin.kind)
        since = read_as_of(pin.since, kind.ledger, "since") if pin.since else None
        pull = Pull(kind, self._sources, Asked(read_as_of(pin.as_of, kind.ledger), since=since), format)
        name, size, digest = f"{kind.name}.{format}", 0, hashlib.sha256()
        async for piece in pull.pieces():
            size += len(piece)
            digest.update(piece)
            if not context.dry_run:
                spool.write(piece)
            await context.heartbeat()
        if not context.dry_run:
            spool.seek(0)
            await in_thread(lambda: self._store.take(f"{folder}/{name}", spool))
        cursor = pin.as_of if kind.ledger else ""
        return File(kind.name, name, pin.as_of, pin.since, cursor, pull.rows, size, digest.hexdigest())

    def _cursors(self, folder: str) -> dict[str, str]:
        return {file.kind: file.cursor for file in self._manifest(folder).files}

    def _manifest(self, folder: str) -> Manifest:
        return _read_manifest(self._store.read(f"{folder}/{MANIFEST}") or b"")


def _manifests(store: Store) -> list[str]:
    """The folders of runs that came to their end, in order."""
    return [name for name in store.runs() if _RUN.fullmatch(name) and store.read(f"{name}/{MANIFEST}") is not None]


def _pretty(what: Struct) -> bytes:
    return msgspec.json.format(msgspec.json.encode(what), indent=2) + b"\n"


def _said(folder: str, files: list[File] | tuple[File, ...], what: str) -> Outcome:
    said = {f"{file.name}": f"{what}, {file.rows} rows, {file.bytes} bytes" for file in files}
    return Outcome({"folder": folder, **said})
