"""Tables for ``meterline emit``, and what it says of them."""

from __future__ import annotations

import json
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, Final

from meterline.encoding import line_of_event
from meterline_deploy.emit.mapping import Mapping
from meterline_deploy.emit.row import Rules
from meterline_deploy.emit.source import Asked, open_source
from tests.deploy.running import Said, asked

OPTIONS: Final = (
    *("--map", "tenant_id=customer", "--map", "quantity=units", "--map", "timestamp=when"),
    *("--set", "metric=orders"),
)
TABLE: Final = "customer,units,when,region\nacme,1.50,2026-11-01T10:00:00Z,eu\nbeta,2,2026-11-01 12:00:00+01:00,\n"


def written(folder: Path, text: str | bytes, name: str = "usage.csv") -> str:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


def dry(file: str, *options: str) -> Said:
    return asked("emit", file, "--dry-run", *options)


def said_plainly(said: Said | CompletedProcess[str]) -> str:
    """What went to stderr, without the frame and the line breaks of a terminal."""
    return " ".join(said.stderr.replace("│", " ").split())


def lines_of(said: Said) -> list[dict[str, Any]]:
    """The events that a dry run showed."""
    return [json.loads(line) for line in said.stdout.splitlines()[:-1]]


def ids_of(file: str, *options: str) -> list[str]:
    return [each["id"] for each in lines_of(dry(file, *OPTIONS, *options))]


def read_table(file: Path, form: str, mapping: Mapping, rules: Rules) -> list[str]:
    """Every row of a file as the line that would be sent, or why it is none."""
    with open_source(Asked(str(file), form, mapping, rules)) as source:
        return [line_of_event(line.event) if line.event else str(line.problem) for line in source.lines]
