"""The options of ``meterline emit``, read and held against each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from zoneinfo import ZoneInfo

from meterline_deploy.emit.mapping import Mapping, read_mapping
from meterline_deploy.emit.packed import form_of
from meterline_deploy.emit.row import Rules, quantity_of
from meterline_deploy.emit.source import Asked
from meterline_deploy.emit.times import Epoch, TimeError, read_time
from meterline_schemas.errors import ConfigurationError
from meterline_schemas.reading import InvalidLine


def asked_for(
    file: str,
    form: str | None,
    *,
    columns: Sequence[str],
    values: Sequence[str],
    properties: Sequence[str],
    timezone: str | None,
    epoch: Epoch | None,
    decimals: int | None,
    delimiter: str | None,
    batch: str,
    rejects: Path | None,
) -> Asked:
    """What is to be read, and how.

    Raises:
        ConfigurationError: an option is wrong, or not one of that form of file.
    """
    form = form or form_of(file)
    if form == "ndjson":
        named = {
            "--map": columns,
            "--set": values,
            "--property": properties,
            "--timezone": timezone,
            "--epoch": epoch,
            "--round": decimals,
            "--delimiter": delimiter,
            "--batch": batch,
            "--rejects": rejects,
        }
        for option, value in named.items():
            if value not in (None, (), ""):
                raise ConfigurationError(
                    f"{option} is for CSV and Parquet, and {file} is read as NDJSON: name its form with --format"
                )
    if delimiter is not None and form != "csv":
        raise ConfigurationError("--delimiter is for CSV")
    if rejects is not None and file != "-" and rejects.exists() and rejects.samefile(file):
        raise ConfigurationError(f"--rejects {rejects} is the file that is read: name another")
    rules = Rules(_zone(timezone), epoch, decimals, batch)
    mapping = read_mapping(columns, values, properties)
    _check_values(mapping, rules)
    return Asked(file, form, mapping, rules, _delimiter(delimiter), rejects is not None)


def _zone(name: str | None) -> ZoneInfo | None:
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        raise ConfigurationError(
            f"--timezone {name} is no time zone: write an IANA name such as UTC or Europe/Vienna"
        ) from None


def _delimiter(text: str | None) -> str:
    text = {None: ",", "tab": "\t", "\\t": "\t"}.get(text, text) or ""
    if len(text) != 1 or text in '\r\n"':
        raise ConfigurationError("--delimiter is one character, such as ';', or the word tab")
    return text


def _check_values(mapping: Mapping, rules: Rules) -> None:
    """What is set for every row is wrong once, and not in every row."""
    for name, text in mapping.values.items():
        try:
            if name == "timestamp":
                read_time(text, rules.zone, rules.epoch)
            elif name == "quantity":
                quantity_of(text, rules.decimals)
            elif not text or not text.isprintable():
                raise ConfigurationError(f"--set {name}=: write a value after the =")
        except (TimeError, InvalidLine) as error:
            raise ConfigurationError(f"--set {name}={text}: {error}") from None
