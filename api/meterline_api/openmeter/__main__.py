"""``python -m meterline_api.openmeter meters.yaml``: the metrics that OpenMeter's meters are, as a file of the catalog.

Exit code 0; 2 where the file cannot be read.
"""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

from meterline_api.openmeter.file import read_meters
from meterline_schemas.errors import ConfigurationError


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: python -m meterline_api.openmeter meters.yaml > metrics.yaml", file=sys.stderr)
        return 2
    try:
        meters = read_meters(Path(arguments[0]))
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 2
    metrics = [
        meter.metric.model_dump(mode="json", exclude_defaults=True) | {"aggregation": meter.metric.aggregation.value}
        for meter in meters.by_slug.values()
    ]
    print(yaml.safe_dump({"metrics": metrics}, sort_keys=False, allow_unicode=True), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
