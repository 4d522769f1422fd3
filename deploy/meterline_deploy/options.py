"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DataOption = Annotated[
    Path,
    typer.Option(
        "--data",
        envvar="METERLINE_DATA",
        help="Folder of the `meterline up` to work with.",
        file_okay=False,
    ),
]
