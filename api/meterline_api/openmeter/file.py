"""The file with meters: OpenMeter's configuration, or what its ``GET /api/v1/meters`` answers."""

from __future__ import annotations

from pathlib import Path

import yaml

from meterline_api.openmeter.meters import Meters, MetersError, meters_of
from meterline_schemas.errors import ConfigurationError


def read_meters(path: Path | None) -> Meters:
    """The meters of a YAML or JSON file; none without a path.

    Raises:
        ConfigurationError: it cannot be read, or a meter is wrong; with every mistake.
    """
    if path is None:
        return Meters()
    try:
        return meters_of(yaml.safe_load(path.read_text()))
    except MetersError as error:
        raise ConfigurationError(f"meters in {path} are wrong: {error}") from None
    except OSError as error:
        raise ConfigurationError(f"meters in {path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path} is no YAML or JSON: {' '.join(str(error).split())}") from None
